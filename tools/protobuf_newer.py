"""Protobuf messages and fields that are newer than the programs that still carry descriptors (Kubernetes 1.33).

One line a message: ``package.Message: number name kind`` separated by commas.
A kind is a scalar, a message of the same package, ``meta.X``, ``core.X`` or
``quantity``; ``*`` behind it: repeated, ``%`` behind it: values of a map.
Numbers are those of the ``generated.proto`` of Kubernetes 1.36.
"""

#: Messages that are the same in another package: package, from which, names (empty: all that are not there yet).
COPIES = (
    ("networking.v1", "networking.v1beta1", "IPAddress IPAddressList IPAddressSpec ParentReference ServiceCIDR "
     "ServiceCIDRList ServiceCIDRSpec ServiceCIDRStatus"),
    ("storage.v1", "storage.v1beta1", "VolumeAttributesClass VolumeAttributesClassList"),
    ("certificates.v1beta1", "certificates.v1alpha1", ""),
    ("coordination.v1beta1", "coordination.v1alpha2", ""),
    ("admissionregistration.v1", "admissionregistration.v1alpha1", "MutatingAdmissionPolicy "
     "MutatingAdmissionPolicyList MutatingAdmissionPolicySpec MutatingAdmissionPolicyBinding "
     "MutatingAdmissionPolicyBindingList MutatingAdmissionPolicyBindingSpec Mutation ApplyConfiguration JSONPatch"),
)  # fmt: skip

NEWER = """
core.v1.Container: 25 restartPolicyRules ContainerRestartRule*
core.v1.EphemeralContainerCommon: 25 restartPolicyRules ContainerRestartRule*
core.v1.ContainerRestartRule: 1 action string, 2 exitCodes ContainerRestartRuleOnExitCodes
core.v1.ContainerRestartRuleOnExitCodes: 1 operator string, 2 values int*
core.v1.ContainerStatus: 15 stopSignal string
core.v1.EnvVarSource: 5 fileKeyRef FileKeySelector
core.v1.FileKeySelector: 1 volumeName string, 2 path string, 3 key string, 4 optional bool
core.v1.Lifecycle: 3 stopSignal string
core.v1.NodeStatus: 14 declaredFeatures string*
core.v1.NodeSystemInfo: 11 swap NodeSwapStatus
core.v1.NodeSwapStatus: 1 capacity int
core.v1.PodCondition: 7 observedGeneration int
core.v1.PodSpec: 41 hostnameOverride string, 43 schedulingGroup PodSchedulingGroup
core.v1.PodSchedulingGroup: 1 podGroupName string
core.v1.PodStatus: 17 observedGeneration int, 18 extendedResourceClaimStatus PodExtendedResourceClaimStatus, 19 allocatedResources quantity%, 20 resources ResourceRequirements
core.v1.PodExtendedResourceClaimStatus: 1 requestMappings ContainerExtendedResourceRequest*, 2 resourceClaimName string
core.v1.ContainerExtendedResourceRequest: 1 containerName string, 2 resourceName string, 3 requestName string
core.v1.VolumeProjection: 6 podCertificate PodCertificateProjection
core.v1.PodCertificateProjection: 1 signerName string, 2 keyType string, 3 maxExpirationSeconds int, 4 credentialBundlePath string, 5 keyPath string, 6 certificateChainPath string, 7 userAnnotations string%
apps.v1.DeploymentStatus: 9 terminatingReplicas int
apps.v1.ReplicaSetStatus: 7 terminatingReplicas int
autoscaling.v2.HPAScalingRules: 4 tolerance quantity
discovery.v1.EndpointHints: 2 forNodes ForNode*
discovery.v1.ForNode: 1 name string
storage.v1.CSIDriverSpec: 9 nodeAllocatableUpdatePeriodSeconds int, 10 serviceAccountTokenInSecrets bool, 11 preventPodSchedulingIfMissing bool
storage.v1.VolumeError: 3 errorCode int
scheduling.v1alpha2.BasicSchedulingPolicy:
scheduling.v1alpha2.GangSchedulingPolicy: 1 minCount int
scheduling.v1alpha2.PodGroup: 1 metadata meta.ObjectMeta, 2 spec PodGroupSpec, 3 status PodGroupStatus
scheduling.v1alpha2.PodGroupList: 1 metadata meta.ListMeta, 2 items PodGroup*
scheduling.v1alpha2.PodGroupSchedulingPolicy: 1 basic BasicSchedulingPolicy, 2 gang GangSchedulingPolicy
scheduling.v1alpha2.PodGroupSpec: 1 podGroupTemplateRef PodGroupTemplateReference, 2 schedulingPolicy PodGroupSchedulingPolicy
scheduling.v1alpha2.PodGroupStatus: 1 conditions meta.Condition*
scheduling.v1alpha2.PodGroupTemplate: 1 name string, 2 schedulingPolicy PodGroupSchedulingPolicy
scheduling.v1alpha2.PodGroupTemplateReference: 1 workload WorkloadPodGroupTemplateReference
scheduling.v1alpha2.WorkloadPodGroupTemplateReference: 1 workloadName string, 2 podGroupTemplateName string
scheduling.v1alpha2.TypedLocalObjectReference: 1 apiGroup string, 2 kind string, 3 name string
scheduling.v1alpha2.Workload: 1 metadata meta.ObjectMeta, 2 spec WorkloadSpec
scheduling.v1alpha2.WorkloadList: 1 metadata meta.ListMeta, 2 items Workload*
scheduling.v1alpha2.WorkloadSpec: 1 controllerRef TypedLocalObjectReference, 2 podGroupTemplates PodGroupTemplate*
resource.v1.AllocatedDeviceStatus: 1 driver string, 2 pool string, 3 device string, 4 conditions meta.Condition*, 5 data raw, 6 networkData NetworkDeviceData, 7 shareID string
resource.v1.AllocationResult: 1 devices DeviceAllocationResult, 3 nodeSelector core.NodeSelector, 5 allocationTimestamp meta.Time
resource.v1.CELDeviceSelector: 1 expression string
resource.v1.CapacityRequestPolicy: 1 default quantity, 3 validValues quantity*, 4 validRange CapacityRequestPolicyRange
resource.v1.CapacityRequestPolicyRange: 1 min quantity, 2 max quantity, 3 step quantity
resource.v1.CapacityRequirements: 1 requests quantity%
resource.v1.Counter: 1 value quantity
resource.v1.CounterSet: 1 name string, 2 counters Counter%
resource.v1.Device: 1 name string, 2 attributes DeviceAttribute%, 3 capacity DeviceCapacity%, 4 consumesCounters DeviceCounterConsumption*, 5 nodeName string, 6 nodeSelector core.NodeSelector, 7 allNodes bool, 8 taints DeviceTaint*, 9 bindsToNode bool, 10 bindingConditions string*, 11 bindingFailureConditions string*, 12 allowMultipleAllocations bool
resource.v1.DeviceAllocationConfiguration: 1 source string, 2 requests string*, 3 deviceConfiguration DeviceConfiguration
resource.v1.DeviceAllocationResult: 1 results DeviceRequestAllocationResult*, 2 config DeviceAllocationConfiguration*
resource.v1.DeviceAttribute: 2 int int, 3 bool bool, 4 string string, 5 version string
resource.v1.DeviceCapacity: 1 value quantity, 2 requestPolicy CapacityRequestPolicy
resource.v1.DeviceClaim: 1 requests DeviceRequest*, 2 constraints DeviceConstraint*, 3 config DeviceClaimConfiguration*
resource.v1.DeviceClaimConfiguration: 1 requests string*, 2 deviceConfiguration DeviceConfiguration
resource.v1.DeviceClass: 1 metadata meta.ObjectMeta, 2 spec DeviceClassSpec
resource.v1.DeviceClassConfiguration: 1 deviceConfiguration DeviceConfiguration
resource.v1.DeviceClassList: 1 metadata meta.ListMeta, 2 items DeviceClass*
resource.v1.DeviceClassSpec: 1 selectors DeviceSelector*, 2 config DeviceClassConfiguration*, 4 extendedResourceName string
resource.v1.DeviceConfiguration: 1 opaque OpaqueDeviceConfiguration
resource.v1.DeviceConstraint: 1 requests string*, 2 matchAttribute string, 3 distinctAttribute string
resource.v1.DeviceCounterConsumption: 1 counterSet string, 2 counters Counter%
resource.v1.DeviceRequest: 1 name string, 2 exactly ExactDeviceRequest, 3 firstAvailable DeviceSubRequest*
resource.v1.DeviceRequestAllocationResult: 1 request string, 2 driver string, 3 pool string, 4 device string, 5 adminAccess bool, 6 tolerations DeviceToleration*, 7 bindingConditions string*, 8 bindingFailureConditions string*, 9 shareID string, 10 consumedCapacity quantity%
resource.v1.DeviceSelector: 1 cel CELDeviceSelector
resource.v1.DeviceSubRequest: 1 name string, 2 deviceClassName string, 3 selectors DeviceSelector*, 4 allocationMode string, 5 count int, 6 tolerations DeviceToleration*, 7 capacity CapacityRequirements
resource.v1.DeviceTaint: 1 key string, 2 value string, 3 effect string, 4 timeAdded meta.Time
resource.v1.DeviceToleration: 1 key string, 2 operator string, 3 value string, 4 effect string, 5 tolerationSeconds int
resource.v1.ExactDeviceRequest: 1 deviceClassName string, 2 selectors DeviceSelector*, 3 allocationMode string, 4 count int, 5 adminAccess bool, 6 tolerations DeviceToleration*, 7 capacity CapacityRequirements
resource.v1.NetworkDeviceData: 1 interfaceName string, 2 ips string*, 3 hardwareAddress string
resource.v1.OpaqueDeviceConfiguration: 1 driver string, 2 parameters raw
resource.v1.ResourceClaim: 1 metadata meta.ObjectMeta, 2 spec ResourceClaimSpec, 3 status ResourceClaimStatus
resource.v1.ResourceClaimConsumerReference: 1 apiGroup string, 3 resource string, 4 name string, 5 uid string
resource.v1.ResourceClaimList: 1 metadata meta.ListMeta, 2 items ResourceClaim*
resource.v1.ResourceClaimSpec: 1 devices DeviceClaim
resource.v1.ResourceClaimStatus: 1 allocation AllocationResult, 2 reservedFor ResourceClaimConsumerReference*, 4 devices AllocatedDeviceStatus*
resource.v1.ResourceClaimTemplate: 1 metadata meta.ObjectMeta, 2 spec ResourceClaimTemplateSpec
resource.v1.ResourceClaimTemplateList: 1 metadata meta.ListMeta, 2 items ResourceClaimTemplate*
resource.v1.ResourceClaimTemplateSpec: 1 metadata meta.ObjectMeta, 2 spec ResourceClaimSpec
resource.v1.ResourcePool: 1 name string, 2 generation int, 3 resourceSliceCount int
resource.v1.ResourceSlice: 1 metadata meta.ObjectMeta, 2 spec ResourceSliceSpec
resource.v1.ResourceSliceList: 1 metadata meta.ListMeta, 2 items ResourceSlice*
resource.v1.ResourceSliceSpec: 1 driver string, 2 pool ResourcePool, 3 nodeName string, 4 nodeSelector core.NodeSelector, 5 allNodes bool, 6 devices Device*, 7 perDeviceNodeSelection bool, 8 sharedCounters CounterSet*
apiregistration.v1.APIService: 1 metadata meta.ObjectMeta, 2 spec APIServiceSpec, 3 status APIServiceStatus
apiregistration.v1.APIServiceCondition: 1 type string, 2 status string, 3 lastTransitionTime meta.Time, 4 reason string, 5 message string
apiregistration.v1.APIServiceList: 1 metadata meta.ListMeta, 2 items APIService*
apiregistration.v1.APIServiceSpec: 1 service ServiceReference, 2 group string, 3 version string, 4 insecureSkipTLSVerify bool, 5 caBundle bytes, 7 groupPriorityMinimum int, 8 versionPriority int
apiregistration.v1.APIServiceStatus: 1 conditions APIServiceCondition*
apiregistration.v1.ServiceReference: 1 namespace string, 2 name string, 3 port int
"""  # noqa: E501
