"""Which plugins there are, their order, and how flags choose among them."""

from pathlib import Path

import pytest

from tests.apiserver.webhooks.server import admitting
from tiphys.apiserver.admission import configuration, table
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.flags import FlagError, Settings, parse


def listed(text: str) -> list[str]:
    return text.split()


#: What kube-apiserver 1.36 runs without a flag, and NodeRestriction, in the order in which they run.
DEFAULT = listed("""
NamespaceLifecycle LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition PodSecurity Priority
DefaultTolerationSeconds DefaultStorageClass StorageObjectInUseProtection PodGroupProtection
PersistentVolumeClaimResize RuntimeClass
CertificateApproval CertificateSigning ClusterTrustBundleAttest CertificateSubjectRestriction DefaultIngressClass
PodTopologyLabels PodGroupWorkloadExists NodeDeclaredFeatureValidator JobValidation PodResizeValidator
MutatingAdmissionPolicy MutatingAdmissionWebhook ValidatingAdmissionPolicy ValidatingAdmissionWebhook ResourceQuota
""")
OFF = listed("""
AlwaysAdmit NamespaceAutoProvision NamespaceExists LimitPodHardAntiAffinityTopology AlwaysPullImages ImagePolicyWebhook
PodNodeSelector PodTolerationRestriction EventRateLimit ExtendedResourceToleration
OwnerReferencesPermissionEnforcement DenyServiceExternalIPs AlwaysDeny
""")


def test_defaults_and_order() -> None:
    assert table.chosen() == DEFAULT
    assert [row.name for row in table.ORDERED if not row.default] == OFF
    assert table.chosen(OFF) == [row.name for row in table.ORDERED]
    assert table.chosen(disabled=DEFAULT) == []


@pytest.mark.parametrize("row", [row for row in table.ORDERED if row.module], ids=lambda row: row.name)
def test_each_row_names_its_class(row: table.Row) -> None:
    cls = row.cls()
    assert issubclass(cls, Plugin)
    assert cls.name == row.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--enable-admission-plugins=Nothing"], 'enable-admission-plugins plugin "Nothing" is unknown'),
        (
            ["--disable-admission-plugins=A,B"],
            '[disable-admission-plugins plugin "A" is unknown, disable-admission-plugins plugin "B" is unknown]',
        ),
    ],
)
def test_unknown_names_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(FlagError) as refused:
        parse(arguments, Settings())
    assert message in str(refused.value)


def test_a_name_may_not_stand_in_both_flags() -> None:
    with pytest.raises(table.PluginError) as refused:
        table.chosen(["Priority"], ["Priority"])
    assert str(refused.value) == "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped"


def test_flags_reach_the_server() -> None:
    given = ["--enable-admission-plugins=AlwaysPullImages,EventRateLimit", "--disable-admission-plugins", "Priority"]
    security = parse([*given, "--admission-control-config-file=/a"], Settings()).security
    assert security.enable_admission_plugins == ("AlwaysPullImages", "EventRateLimit")
    assert security.disable_admission_plugins == ("Priority",)
    assert security.admission_config_file == "/a"


async def test_what_is_switched_off_is_off() -> None:
    async with admitting(disable_admission_plugins=("ServiceAccount", "DefaultTolerationSeconds")) as api:
        body = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = (await api.ok("POST", "/api/v1/namespaces/kube-system/pods", body))["spec"]
        assert "tolerations" not in spec
        assert "volumes" not in spec


def test_a_configuration_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(table.PluginError, match="failed to read admission control configuration"):
        configuration.read(str(tmp_path / "none"))
    file = tmp_path / "file"
    file.write_text("kind: Other")
    with pytest.raises(table.PluginError, match="AdmissionConfiguration"):
        configuration.read(str(file))


async def test_a_plugin_that_cannot_be_made_says_why() -> None:
    with pytest.raises(table.PluginError, match='couldn\'t init admission plugin "EventRateLimit": limits'):
        async with admitting(enable_admission_plugins=("EventRateLimit",)):
            pass
