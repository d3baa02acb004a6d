"""Every rule of a container group's body: broken alone, it is refused with its code, the value and the path."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.providers.container_instance.bodies import GroupBody
from windtunnel_emulators.providers.container_instance.capabilities import ceiling
from windtunnel_emulators.providers.container_instance.reading import read
from windtunnel_emulators.providers.container_instance.validation import check_body, check_group_name

if TYPE_CHECKING:
    from collections.abc import Callable

Body = dict[str, Any]
IDENTITY = "/subscriptions/s/resourceGroups/r/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
SUBNET = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v/subnets/n"

VALID: Body = {
    "location": "westus",
    "tags": {"a": "b"},
    "zones": ["1"],
    "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
    "properties": {
        "osType": "Linux",
        "restartPolicy": "OnFailure",
        "sku": "Standard",
        "priority": "Regular",
        "containers": [
            {
                "name": "web-1",
                "properties": {
                    "image": "registry.example.com:5000/team/web:1.0",
                    "command": ["serve", ""],
                    "ports": [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}],
                    "environmentVariables": [{"name": "A", "value": ""}, {"name": "_b", "secureValue": "x"}],
                    "resources": {"requests": {"cpu": 0.5, "memoryInGB": 0.3}, "limits": {"cpu": 1.5}},
                    "volumeMounts": [
                        {"name": "space", "mountPath": "/a"},
                        {"name": "space", "mountPath": "b", "readOnly": True},
                    ],
                    "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 5},
                    "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "https"}},
                },
            },
            {
                "name": "side",
                "properties": {"image": "nginx", "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}},
            },
        ],
        "initContainers": [
            {
                "name": "first",
                "properties": {"image": "busybox", "volumeMounts": [{"name": "key", "mountPath": "/k"}]},
            }
        ],
        "volumes": [
            {"name": "space", "emptyDir": {}},
            {"name": "key", "secret": {"a.pem": "YQ=="}},
            {"name": "share", "azureFile": {"shareName": "s", "storageAccountName": "a"}},
            {"name": "code", "gitRepo": {"repository": "https://example.com/a/b.git", "directory": "x"}},
        ],
        "ipAddress": {"type": "Public", "ports": [{"port": 80}], "dnsNameLabel": "label"},
        "imageRegistryCredentials": [
            {"server": "registry.example.com:5000", "username": "u", "password": "p"},
            {"server": "r.azurecr.io", "identity": IDENTITY},
        ],
        "diagnostics": {"logAnalytics": {"workspaceId": "w", "workspaceKey": "k"}},
        "encryptionProperties": {"vaultBaseUrl": "https://v.example", "keyName": "k", "keyVersion": "1"},
        "extensions": [{"name": "e", "properties": {"extensionType": "t", "version": "1"}}],
    },
}


def check(body: Body, name: str = "group") -> None:
    sku = body.get("properties", {}).get("sku") if isinstance(body.get("properties"), dict) else None
    check_body(name, read(body, GroupBody), ceiling(sku))


def test_the_valid_body_is_valid() -> None:
    check(copy.deepcopy(VALID))


@pytest.mark.parametrize("name", ["a", "a1", "1a", "a-b", "a" * 63])
def test_names_that_a_group_may_have(name: str) -> None:
    check_group_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a--b", "ü", "a" * 64, "a\n"])
def test_names_that_a_group_may_not_have(name: str) -> None:
    with pytest.raises(ArmError) as refused:
        check_group_name(name)
    assert (refused.value.status, refused.value.code) == (400, "InvalidContainerGroupName")
    assert f"'{name}'" in refused.value.message


def at(path: str) -> Callable[[Body, Any], None]:
    """Sets a value, or takes it away when it is ``None``."""

    def change(body: Body, value: Any) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
        place: Any = body
        for step in steps:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


FIRST = "properties/containers/0/properties"
_INITS = [{"name": f"i{n}", "properties": {"image": "x"}} for n in range(60)]
_A_CONTAINER = {"name": "c", "properties": {"image": "x", "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}}}

CASES: list[tuple[str, Any, str, str]] = [
    # where, what, code, a part of the sentence
    ("properties", None, "InvalidRequestContent", "no 'properties'"),
    ("properties/osType", None, "InvalidOsType", "The value must be one of 'Windows,Linux'."),
    ("properties/osType", "Plan9", "InvalidOsType", "'group'"),
    ("properties/osType", "Windows", "NotImplemented", "Windows"),
    ("properties/restartPolicy", "Sometimes", "InvalidRestartPolicy", "'Always,OnFailure,Never'"),
    ("properties/sku", "Premium", "InvalidSku", "'Premium'"),
    ("properties/priority", "High", "InvalidPriority", "'High'"),
    ("zones", ["1", "2"], "InvalidZones", "at most 1"),
    ("zones", ["9"], "InvalidZones", "'9'"),
    ("properties/containers", None, "MissingContainers", "cannot be empty"),
    ("properties/containers", [], "MissingContainers", "cannot be empty"),
    ("properties/containers", [_A_CONTAINER] * 61, "TooManyContainers", "61"),
    ("properties/containers/0/name", None, "InvalidContainerName", "''"),
    ("properties/containers/0/name", "Web", "InvalidContainerName", "'Web'"),
    ("properties/containers/1/name", "web-1", "DuplicateContainerName", "'web-1'"),
    ("properties/initContainers/0/name", "side", "DuplicateContainerName", "'side'"),
    (f"{FIRST}/image", None, "MissingImage", "'web-1'"),
    (f"{FIRST}/image", "", "MissingImage", "'web-1'"),
    (f"{FIRST}/image", "Not An Image", "InvalidImageName", "Not An Image"),
    (f"{FIRST}/command", ["", "x"], "InvalidCommand", "empty word"),
    (f"{FIRST}/command", ["a", "b\0"], "InvalidCommand", "null character"),
    (f"{FIRST}/ports/0/port", 0, "InvalidContainerPort", "'0'"),
    (f"{FIRST}/ports/0/port", 65536, "InvalidContainerPort", "'65536'"),
    (f"{FIRST}/ports/0/port", None, "InvalidContainerPort", "between 1 and 65535"),
    (f"{FIRST}/ports/0/protocol", "ICMP", "InvalidContainerPortProtocol", "'TCP,UDP'"),
    (f"{FIRST}/ports/1/protocol", "TCP", "DuplicateContainerPort", "already used by container 'web-1'"),
    ("properties/containers/1/properties/ports", [{"port": 80}], "DuplicateContainerPort", "'side'"),
    (f"{FIRST}/environmentVariables/0/name", "A.B", "InvalidContainerEnvironmentVariable", "'A.B'"),
    (f"{FIRST}/environmentVariables/0/name", "1A", "InvalidContainerEnvironmentVariable", "'1A'"),
    (f"{FIRST}/environmentVariables/0/name", "A" * 64, "InvalidContainerEnvironmentVariable", "63"),
    (f"{FIRST}/environmentVariables/0/name", "_b", "DuplicateEnvironmentVariable", "'_b'"),
    (f"{FIRST}/environmentVariables/0/value", None, "InvalidContainerEnvironmentVariable", "neither a 'value'"),
    (f"{FIRST}/environmentVariables/0/secureValue", "x", "InvalidContainerEnvironmentVariable", "both a 'value'"),
    (f"{FIRST}/environmentVariables/0/value", "\0", "InvalidContainerEnvironmentVariable", "null character"),
    (
        f"{FIRST}/environmentVariables/0/secureValueReference",
        "r",
        "InvalidContainerEnvironmentVariable",
        "does not have",
    ),
    (f"{FIRST}/resources", None, "ResourceRequestsNotSpecified", "Both memory and CPU requests are required"),
    (f"{FIRST}/resources/requests", None, "ResourceRequestsNotSpecified", "contain group 'group'"),
    (f"{FIRST}/resources/requests/cpu", None, "ResourceSomeRequestsNotSpecified", "'Cpu'"),
    (f"{FIRST}/resources/requests/memoryInGB", None, "ResourceSomeRequestsNotSpecified", "'MemoryInGB'"),
    (f"{FIRST}/resources/requests/cpu", 0, "InvalidResourceRequest", "'0'"),
    (f"{FIRST}/resources/requests/cpu", -1, "InvalidResourceRequest", "'-1'"),
    (f"{FIRST}/resources/requests/cpu", 0.001, "InvalidResourceRequest", "steps of 0.01"),
    (f"{FIRST}/resources/requests/memoryInGB", 0.55, "InvalidResourceRequest", "steps of 0.1"),
    (f"{FIRST}/resources/requests/memoryInGB", 1e308, "InvalidResourceRequest", "'1e+308'"),
    (f"{FIRST}/resources/requests/memoryInGB", 300, "ServiceUnavailable", "GB memory 'Linux' OS"),
    ("properties/containers/1/properties/resources/requests/cpu", 31, "ServiceUnavailable", "'31.5' CPU '1.3' GB"),
    (f"{FIRST}/resources/requests/gpu", {"count": 1, "sku": "K80"}, "GpuNotSupported", "14 July 2025"),
    (f"{FIRST}/resources/limits/cpu", 0.4, "ResourceLimitsLessThanRequests", '"cpu":0.5'),
    (f"{FIRST}/resources/limits/cpu", 2, "ContainerLimitGreaterThanContainerGroupTotalRequest", "request '1.5'"),
    (f"{FIRST}/resources/limits/cpu", 1.005, "InvalidResourceRequest", "'Cpu' limit"),
    (f"{FIRST}/volumeMounts/0/name", "other", "VolumeMountNotFound", "'space,key,share,code'"),
    (f"{FIRST}/volumeMounts/0/name", None, "VolumeMountNotFound", "''"),
    (f"{FIRST}/volumeMounts/0/mountPath", None, "InvalidVolumeMountPath", "cannot be empty"),
    (f"{FIRST}/volumeMounts/0/mountPath", "/a:b", "InvalidVolumeMountPath", "cannot contain ':'"),
    (f"{FIRST}/volumeMounts/0/mountPath", "/a/../../etc", "InvalidVolumeMountPath", "upwards"),
    (f"{FIRST}/volumeMounts/0/mountPath", "../x", "InvalidVolumeMountPath", "upwards"),
    (f"{FIRST}/volumeMounts/0/mountPath", "//", "InvalidVolumeMountPath", "root"),
    (f"{FIRST}/volumeMounts/0/mountPath", "/a\n", "InvalidVolumeMountPath", "control characters"),
    (f"{FIRST}/volumeMounts/0/mountPath", "/b/.", "DuplicateVolumeMountPath", "'/b'"),
    (f"{FIRST}/livenessProbe", {}, "InvalidProbe", "exactly one of 'exec' and 'httpGet'"),
    (f"{FIRST}/livenessProbe/httpGet", {"port": 80}, "InvalidProbe", "exactly one of 'exec' and 'httpGet'"),
    (f"{FIRST}/livenessProbe/exec/command", [], "InvalidProbe", "cannot be empty"),
    (f"{FIRST}/livenessProbe/periodSeconds", 0, "InvalidProbe", "'periodSeconds' is '0'"),
    (f"{FIRST}/livenessProbe/initialDelaySeconds", -1, "InvalidProbe", "at least 0"),
    (f"{FIRST}/livenessProbe/failureThreshold", 2**40, "InvalidProbe", "'failureThreshold'"),
    (f"{FIRST}/livenessProbe/successThreshold", 2, "InvalidProbe", "must be 1"),
    (f"{FIRST}/readinessProbe/httpGet/port", 0, "InvalidProbe", "'readinessProbe'"),
    (f"{FIRST}/readinessProbe/httpGet/scheme", "ftp", "InvalidProbe", "'http,https'"),
    (f"{FIRST}/readinessProbe/httpGet/path", "/a b", "InvalidProbe", "blank"),
    (f"{FIRST}/readinessProbe/httpGet/httpHeaders", [{"name": "a b", "value": ""}], "InvalidProbe", "'a b'"),
    (f"{FIRST}/readinessProbe/httpGet/httpHeaders", [{"name": "a", "value": "\r\nx: y"}], "InvalidProbe", "'a'"),
    ("properties/initContainers", _INITS, "TooManyInitContainers", "60"),
    ("properties/initContainers/0/name", "", "InvalidContainerName", "''"),
    ("properties/initContainers/0/properties", None, "MissingImage", "'first'"),
    ("properties/initContainers/0/properties/ports", [], "InvalidInitContainer", "'ports'"),
    ("properties/initContainers/0/properties/resources", {}, "InvalidInitContainer", "'resources'"),
    ("properties/initContainers/0/properties/livenessProbe", {}, "InvalidInitContainer", "'livenessProbe'"),
    ("properties/initContainers/0/properties/volumeMounts/0/name", "x", "VolumeMountNotFound", "'x'"),
    ("properties/volumes", [{"name": f"v{n}", "emptyDir": {}} for n in range(21)], "TooManyVolumes", "21"),
    ("properties/volumes/0/name", "", "InvalidVolumeName", "''"),
    ("properties/volumes/0/name", "key", "DuplicateVolumeName", "'key'"),
    ("properties/volumes/0/emptyDir", None, "InvalidVolume", "exactly one"),
    ("properties/volumes/0/secret", {"a": "YQ=="}, "InvalidVolume", "'emptyDir,secret'"),
    ("properties/volumes/1/secret", {}, "InvalidSecretVolume", "cannot be empty"),
    ("properties/volumes/1/secret", {"a": "not base64"}, "InvalidSecretVolume", "not valid base64"),
    ("properties/volumes/1/secret", {"../a": "YQ=="}, "InvalidSecretVolume", "'../a'"),
    ("properties/volumes/1/secret", {"..": "YQ=="}, "InvalidSecretVolume", "'..'"),
    ("properties/volumes/1/secret", {"a/b": "YQ=="}, "InvalidSecretVolume", "'a/b'"),
    ("properties/volumes/2/azureFile/shareName", None, "InvalidAzureFileVolume", "'shareName'"),
    ("properties/volumes/2/azureFile/storageAccountName", "", "InvalidAzureFileVolume", "'storageAccountName'"),
    ("properties/volumes/3/gitRepo/repository", None, "InvalidGitRepoVolume", "missing"),
    ("properties/volumes/3/gitRepo/repository", "ssh://git@example.com/a", "InvalidGitRepoVolume", "only https"),
    ("properties/volumes/3/gitRepo/repository", "--upload-pack=x", "InvalidGitRepoVolume", "only https"),
    ("properties/volumes/3/gitRepo/directory", "../x", "InvalidGitRepoVolume", "below the volume"),
    ("properties/volumes/3/gitRepo/directory", "/x", "InvalidGitRepoVolume", "below the volume"),
    ("properties/volumes/3/gitRepo/directory", "a/.git", "InvalidGitRepoVolume", "'.git'"),
    ("properties/volumes/3/gitRepo/revision", "-x", "InvalidGitRepoVolume", "'-x'"),
    ("properties/volumes/3/secretReference", {"a": "b"}, "InvalidVolume", "'secretReference,gitRepo'"),
    ("properties/ipAddress/type", None, "InvalidIpAddressType", "'Public,Private'"),
    ("properties/ipAddress/type", "Secret", "InvalidIpAddressType", "'Secret'"),
    ("properties/ipAddress/ports", None, "MissingIpAddressPorts", "cannot be empty"),
    ("properties/ipAddress/ports", [{"port": p} for p in range(1, 7)], "TooManyIpAddressPorts", "6 ports"),
    ("properties/ipAddress/ports/0/port", 70000, "InvalidIpAddressPort", "'70000'"),
    ("properties/ipAddress/ports/0/protocol", "SCTP", "InvalidIpAddressPortProtocol", "'SCTP'"),
    ("properties/ipAddress/ports", [{"port": 80}, {"port": 80, "protocol": "tcp"}], "DuplicateIpAddressPort", "'80'"),
    ("properties/ipAddress/ports", [{"port": 443}, {"port": 81}], "UnreferencedIpAddressPorts", "'443,81'"),
    ("properties/ipAddress/dnsNameLabel", "node", "InvalidDnsNameLabel", "between 5 and 63 characters"),
    ("properties/ipAddress/dnsNameLabel", "Teste", "InvalidDnsNameLabel", "'Teste'"),
    ("properties/ipAddress/dnsNameLabel", "1abcd", "InvalidDnsNameLabel", "must be a letter"),
    ("properties/ipAddress/dnsNameLabel", "a" * 64, "InvalidDnsNameLabel", "63"),
    ("properties/ipAddress/autoGeneratedDomainNameLabelScope", "Mine", "InvalidDnsNameLabelScope", "'Mine'"),
    ("properties/ipAddress/type", "Private", "DnsNameLabelNotSupported", "'Public'"),
    ("properties/ipAddress", {"type": "Private", "ports": [{"port": 80}]}, "MissingSubnetIds", "'subnetIds'"),
    ("properties/subnetIds", [{"id": "[resourceId('x')]"}], "LinkedInvalidPropertyId", "[resourceId('x')]"),
    ("properties/subnetIds", [{"id": SUBNET}], "PublicIpAddressNotSupported", "virtual network"),
    ("properties/dnsConfig", {"searchDomains": "x"}, "InvalidDnsConfig", "'nameServers'"),
    (
        "properties/imageRegistryCredentials",
        [{"server": f"r{n}.io", "username": "u", "password": "p"} for n in range(4)],
        "MoreImageRegistryCredentialsThanContainers",
        "More image registry credentials provided than containers in container group 'group'.",
    ),
    (
        "properties/imageRegistryCredentials/0/server",
        "https://r.io",
        "InvalidImageRegistryServer",
        "It should be a valid host name without protocol.",
    ),
    ("properties/imageRegistryCredentials/0/server", "", "InvalidImageRegistryServer", "''"),
    (
        "properties/imageRegistryCredentials/0/server",
        "R.azurecr.io",
        "DuplicateImageRegistryCredentials",
        "r.azurecr.io",
    ),
    ("properties/imageRegistryCredentials/0/password", None, "InvalidImageRegistryCredentials", "'password'"),
    ("properties/imageRegistryCredentials/0/username", "", "InvalidImageRegistryCredentials", "'username'"),
    ("properties/imageRegistryCredentials/0/passwordReference", "x", "NotImplemented", "key vault"),
    ("properties/imageRegistryCredentials/1/identity", "/x", "InvalidImageRegistryIdentity", "identity list"),
    ("identity/type", "Everybody", "InvalidIdentityType", "'Everybody'"),
    ("identity/type", "SystemAssigned", "InvalidIdentity", "does not allow"),
    ("identity/userAssignedIdentities", {}, "InvalidIdentity", "names no"),
    ("identity/userAssignedIdentities", {"/x": {}}, "LinkedInvalidPropertyId", "'/x'"),
    ("properties/diagnostics/logAnalytics/workspaceKey", None, "InvalidLogAnalytics", "'workspaceKey'"),
    ("properties/diagnostics/logAnalytics/logType", "All", "InvalidLogAnalytics", "'All'"),
    ("properties/encryptionProperties/keyName", None, "InvalidEncryptionProperties", "'keyName'"),
    ("properties/encryptionProperties/vaultBaseUrl", "http://v", "InvalidEncryptionProperties", "'http://v'"),
    ("properties/extensions/0/name", None, "InvalidExtension", "no 'name'"),
    ("properties/extensions/0/properties", None, "InvalidExtension", "no 'extensionType'"),
    ("properties/confidentialComputeProperties", {}, "InvalidConfidentialComputeProperties", "'Confidential'"),
    ("properties/containerGroupProfile", {"id": "x"}, "NotImplemented", "profile"),
    ("properties/standbyPoolProfile", {"id": "x"}, "NotImplemented", "standby pool"),
    ("properties/secretReferences", [], "NotImplemented", "key vault"),
    # values of the wrong type
    ("properties", [], "InvalidRequestContent", "'properties' is an array where an object is expected"),
    ("properties/containers", "x", "InvalidRequestContent", "'properties.containers' is a string where an array"),
    (f"{FIRST}/resources/requests/cpu", "1", "InvalidRequestContent", "is a string where a number is expected"),
    (f"{FIRST}/ports/0/port", 80.5, "InvalidRequestContent", "is a number where an integer is expected"),
    (f"{FIRST}/ports/0/port", True, "InvalidRequestContent", "is a boolean where an integer is expected"),
    (f"{FIRST}/ports/0/port", 10**30, "InvalidContainerPort", "between 1 and 65535"),
    (f"{FIRST}/command", [None], "InvalidRequestContent", "is null where a string is expected"),
    ("tags/a", 1, "InvalidRequestContent", "is an integer where a string is expected"),
]


@pytest.mark.parametrize(("where", "what", "code", "sentence"), CASES)
def test_a_broken_rule_is_refused_with_its_code_and_the_value(where: str, what: Any, code: str, sentence: str) -> None:
    body = copy.deepcopy(VALID)
    at(where)(body, copy.deepcopy(what))
    with pytest.raises(ArmError) as refused:
        check(body)
    assert refused.value.code == code
    assert sentence in refused.value.message
    assert 400 <= refused.value.status < 500 or refused.value.status == 501
    if code not in ("NotImplemented",):
        assert refused.value.target, "the path of what is wrong"


def test_spot_groups_are_small_and_in_no_virtual_network() -> None:
    body = copy.deepcopy(VALID)
    body["properties"]["priority"] = "Spot"
    check(body)
    body["properties"]["containers"][1]["properties"]["resources"]["requests"]["cpu"] = 4
    with pytest.raises(ArmError, match=r"'4\.5' CPU"):
        check(body)
    body["properties"]["containers"][1]["properties"]["resources"]["requests"]["cpu"] = 1
    del body["properties"]["ipAddress"]
    body["properties"]["subnetIds"] = [{"id": SUBNET}]
    with pytest.raises(ArmError, match="'Spot'"):
        check(body)


def test_a_private_group_has_a_subnet() -> None:
    body = copy.deepcopy(VALID)
    body["properties"]["ipAddress"] = {"type": "Private", "ports": [{"port": 80}]}
    body["properties"]["subnetIds"] = [{"id": SUBNET}]
    check(body)


def test_nulls_are_absent() -> None:
    body = copy.deepcopy(VALID)
    body["properties"]["ipAddress"]["dnsNameLabel"] = None
    body["properties"]["volumes"][0]["secret"] = None
    body["properties"]["diagnostics"] = None
    check(body)
