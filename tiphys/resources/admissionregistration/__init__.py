"""admissionregistration.k8s.io: which webhooks and policies have a say in admission.

``matching`` (rules and selectors), ``clients`` (where a webhook is) and ``expressions`` (CEL) are shared; one module
per kind of object beside them.
"""
