//! The vocabulary of status: condition types and reasons. Nothing else in the project spells them.
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
/// The Mailbox is full.
pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
/// The Mailbox's backup policy is in force.
pub const BACKUP_CONFIGURED: &str = "BackupConfigured";
/// Every target of an Alias can take mail.
pub const TARGETS_RESOLVED: &str = "TargetsResolved";

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
    /// The mail of a deleted Mailbox was found and taken back.
    pub const ADOPTED: &str = "Adopted";
}
