//! The vocabulary of status: condition types and reasons. Nothing else in the project spells them, except that a
//! sidecar reports the reasons of [`DESTINATION_REACHABLE`] to [`SUCCEEDED`] by these names.
//!
//! A reason is one CamelCase word, fixed for ever; the message beside it says what to do next.

/// The object does what its author wants: every kind but runs has it.
pub const READY: &str = "Ready";
/// A change of a MailServer is being rolled out.
pub const PROGRESSING: &str = "Progressing";
/// Every shard of a MailServer serves.
pub const SHARDS_AVAILABLE: &str = "ShardsAvailable";
/// Every shard has the present directory.
pub const DIRECTORY_CURRENT: &str = "DirectoryCurrent";
/// A push that removes many addresses waits for a person.
pub const DIRECTORY_HELD: &str = "DirectoryHeld";
/// Certificates are valid and not about to end.
pub const CERTIFICATES_VALID: &str = "CertificatesValid";
/// A volume is growing.
pub const STORAGE_RESIZING: &str = "StorageResizing";
/// The operator knows a newer image than the one that runs.
pub const UPDATE_AVAILABLE: &str = "UpdateAvailable";
/// The operator leaves the MailServer alone.
pub const PAUSED: &str = "Paused";
/// A shard holds a keyset of the Mailbox: mail can be sealed to it.
pub const KEYS_INSTALLED: &str = "KeysInstalled";
/// The password in the Secret is the one that opens the Mailbox.
pub const PASSWORD_IN_SYNC: &str = "PasswordInSync";
/// The Mailbox's files are kept closed; not there where nobody wants that.
pub const FENCED: &str = "Fenced";
/// The Mailbox is full.
pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
/// The Mailbox's backup policy is in force.
pub const BACKUP_CONFIGURED: &str = "BackupConfigured";
/// Every target of an Alias can take mail.
pub const TARGETS_RESOLVED: &str = "TargetsResolved";
/// The bucket of a BackupPolicy can be read and written.
pub const DESTINATION_REACHABLE: &str = "DestinationReachable";
/// Every change of every mailbox under a BackupPolicy is in the bucket within its `maxLagSeconds`, without a gap.
pub const WITHIN_RPO: &str = "WithinRPO";
/// What a BackupPolicy keeps no longer is gone from the bucket, and nothing else.
pub const RETENTION_ENFORCED: &str = "RetentionEnforced";
/// The last rehearsed restore of a BackupPolicy was whole.
pub const VERIFIED: &str = "Verified";
/// A run is done: `True` or `False` for ever, `Unknown` until then.
pub const SUCCEEDED: &str = "Succeeded";

/// Which kind has which conditions, the main one first. A run has `Succeeded` alone.
pub const OF: [(&str, &[&str]); 6] = [
    (
        "MailServer",
        &[
            READY,
            PROGRESSING,
            SHARDS_AVAILABLE,
            DIRECTORY_CURRENT,
            DIRECTORY_HELD,
            CERTIFICATES_VALID,
            STORAGE_RESIZING,
            UPDATE_AVAILABLE,
            PAUSED,
        ],
    ),
    ("Mailbox", &[READY, KEYS_INSTALLED, PASSWORD_IN_SYNC, QUOTA_EXCEEDED, BACKUP_CONFIGURED, FENCED]),
    ("Alias", &[READY, TARGETS_RESOLVED]),
    ("BackupPolicy", &[READY, DESTINATION_REACHABLE, WITHIN_RPO, RETENTION_ENFORCED, VERIFIED]),
    ("MailboxBackup", &[SUCCEEDED]),
    ("MailboxRestore", &[SUCCEEDED]),
];

/// Reasons.
pub mod reason {
    /// Somebody edited an address that cannot change; the bound one stays in force.
    pub const ADDRESS_IMMUTABLE: &str = "AddressImmutable";
    /// Another object holds the address.
    pub const ADDRESS_CONFLICT: &str = "AddressConflict";
    /// The address's domain is none of the MailServer's.
    pub const DOMAIN_NOT_SERVED: &str = "DomainNotServed";
    /// There is no MailServer of that name.
    pub const SERVER_NOT_FOUND: &str = "ServerNotFound";
    /// No shard has answered yet, so nothing new is placed.
    pub const AWAITING_SHARD: &str = "AwaitingShard";
    /// No password has been set: `sealpost password ADDRESS`.
    pub const AWAITING_OWNER: &str = "AwaitingOwner";
    /// The mailbox named by `adopt` is not known.
    pub const ADOPT_NOT_FOUND: &str = "AdoptNotFound";
    /// The mailbox named by `adopt` belongs to another object, or the object has a mailbox already.
    pub const ADOPT_CONFLICT: &str = "AdoptConflict";
    /// A Mailbox that an Alias names does not exist.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// A Mailbox that an Alias names cannot take mail yet.
    pub const TARGET_NOT_READY: &str = "TargetNotReady";
    /// This version cannot do that yet.
    pub const NOT_SUPPORTED: &str = "NotSupported";
    /// A served domain has nobody to read `postmaster@`.
    pub const POSTMASTER_MISSING: &str = "PostmasterMissing";
    /// A Secret that an object names is missing, or lacks the key it needs.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A BackupPolicy that an object names is missing; the last one stays in force.
    pub const POLICY_NOT_FOUND: &str = "PolicyNotFound";
    /// Files are closed until a person says otherwise: `kubectl sealpost unfence`.
    pub const FENCED: &str = "Fenced";
    /// Files are about to be closed by a fence.
    pub const CLOSING: &str = "Closing";
    /// The fence is gone, and files are about to be opened.
    pub const OPENING: &str = "Opening";
    /// An annotation says something that nobody understands.
    pub const ANNOTATION_INVALID: &str = "AnnotationInvalid";
    /// The mail of a deleted Mailbox was found and taken back.
    pub const ADOPTED: &str = "Adopted";
    /// The Mailbox has a backup policy, its own or the server's.
    pub const POLICY_IN_FORCE: &str = "PolicyInForce";
    /// Neither the Mailbox nor its server names a backup policy.
    pub const NO_POLICY: &str = "NoPolicy";
    /// Neither a MailServer nor a Mailbox names the backup policy.
    pub const NOT_IN_USE: &str = "NotInUse";
    /// The sidecar of a shard has not been heard of for a while: nothing of it is archived.
    pub const SIDECAR_AWAY: &str = "SidecarAway";

    /// The bucket answers and takes writes.
    pub const REACHABLE: &str = "Reachable";
    /// The bucket does not answer: network, name, certificate.
    pub const BUCKET_UNREACHABLE: &str = "BucketUnreachable";
    /// The endpoint answers and knows no such bucket.
    pub const BUCKET_NOT_FOUND: &str = "BucketNotFound";
    /// The bucket is full.
    pub const BUCKET_FULL: &str = "BucketFull";
    /// The credentials are refused, or may not do what is needed.
    pub const ACCESS_DENIED: &str = "AccessDenied";
    /// The clocks of this machine and of the bucket differ too much for signed requests.
    pub const CLOCK_SKEW: &str = "ClockSkew";
    /// Something else writes under the same prefix; nothing is written until it is known what.
    pub const FOREIGN_WRITER: &str = "ForeignWriter";
    /// The bucket has no conditional writes, so a second writer is noticed late.
    pub const FENCING_WEAK: &str = "FencingWeak";
    /// The volume is not the one that this archive belongs to, for example a copy; nothing is archived.
    pub const IDENTITY_MISMATCH: &str = "IdentityMismatch";

    /// Every change is in the bucket in time.
    pub const WITHIN_LAG: &str = "WithinLag";
    /// Changes wait longer than the policy allows.
    pub const BEHIND: &str = "Behind";
    /// Moments that can never be restored: the volume had to let go of changes before the bucket had them.
    pub const GAP: &str = "Gap";
    /// A volume lost its newest writes in a power cut; a new timeline began.
    pub const FORK: &str = "Fork";

    /// The last pass removed what had to go.
    pub const ENFORCED: &str = "Enforced";
    /// The last pass could not remove what had to go.
    pub const RETENTION_FAILED: &str = "RetentionFailed";
    /// The last pass only said what it would remove.
    pub const DRY_RUN: &str = "DryRun";
    /// It has not run yet.
    pub const NOT_RUN_YET: &str = "NotRunYet";
    /// The policy has no schedule for it.
    pub const NOT_SCHEDULED: &str = "NotScheduled";

    /// The rehearsed restore was whole.
    pub const RESTORABLE: &str = "Restorable";
    /// The rehearsed restore failed.
    pub const VERIFY_FAILED: &str = "VerifyFailed";
    /// An object in the bucket is not what its writer signed.
    pub const DAMAGED: &str = "Damaged";

    /// A run waits for its turn.
    pub const PENDING: &str = "Pending";
    /// A run is at work.
    pub const RUNNING: &str = "Running";
    /// A run did what it was asked for.
    pub const COMPLETED: &str = "Completed";
    /// The same run was done before; nothing was done again.
    pub const ALREADY_DONE: &str = "AlreadyDone";
    /// A run failed; the message says why.
    pub const FAILED: &str = "Failed";
    /// A run was not done within its `deadlineSeconds`.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// A Mailbox that a run names does not exist on any MailServer known here.
    pub const MAILBOX_NOT_FOUND: &str = "MailboxNotFound";
    /// There is no such archive in the bucket, or none that reaches the time asked for.
    pub const ARCHIVE_NOT_FOUND: &str = "ArchiveNotFound";
    /// A restore in place names the archive of another mailbox.
    pub const ARCHIVE_OF_ANOTHER: &str = "ArchiveOfAnotherMailbox";
    /// The target of a restore has keys or mail; only a restore in place may replace them.
    pub const TARGET_NOT_EMPTY: &str = "TargetNotEmpty";
    /// All is as declared.
    pub const AS_DECLARED: &str = "AsDeclared";
    /// Pods are not ready yet.
    pub const PODS_NOT_READY: &str = "PodsNotReady";
    /// Pods are being replaced.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// The operator cannot talk to a shard.
    pub const SHARD_UNREACHABLE: &str = "ShardUnreachable";
    /// A shard does not take the directory.
    pub const PUSH_REFUSED: &str = "PushRefused";
    /// A shard has yet to take the present directory.
    pub const PUSH_PENDING: &str = "PushPending";
    /// Too many addresses would be removed at once.
    pub const REMOVALS_HELD: &str = "RemovalsHeld";
    /// The Secret with a shard's key is gone, or is not the one the volume was made with.
    pub const SHARD_KEY_MISSING: &str = "ShardKeyMissing";
    /// The volume of a shard that had mailboxes is blank.
    pub const VOLUME_LOST: &str = "VolumeLost";
    /// A volume cannot become smaller.
    pub const SHRINK_REFUSED: &str = "ShrinkRefused";
    /// A volume is becoming larger.
    pub const GROWING: &str = "Growing";
    /// The operator may not read or write Secrets here.
    pub const SECRET_ACCESS_DENIED: &str = "SecretAccessDenied";
    /// The API server refused an object of the operator.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// A Secret does not hold what it should.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// Nobody provides a certificate: the operator has made one that mail clients do not trust by themselves.
    pub const SELF_SIGNED: &str = "SelfSigned";
    /// The stored object cannot be read; its last known value stays in force.
    pub const UNDECODABLE: &str = "Undecodable";
    /// The operator was told to leave the object alone.
    pub const LEFT_ALONE: &str = "LeftAlone";
}
