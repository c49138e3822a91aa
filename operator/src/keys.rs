//! First keys from a declared password.

use crypto::{Argon2Cost, Keyset, NewKeyset, Secret};
use jiff::Timestamp;
use model::Address;
use zeroize::Zeroizing;

use crate::OperatorError;

/// Wraps a declared password around fresh keys: a `keys.json`. The password and the key are seen here and nowhere else.
pub async fn first_keys(address: Address, password: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, OperatorError> {
    let made = tokio::task::spawn_blocking(move || {
        let text = std::str::from_utf8(&password).map_err(|_| OperatorError::NotText)?;
        // A file that a person wrote ends in a line break.
        let password = Secret::new(text.trim_end_matches(['\r', '\n']));
        let new = NewKeyset {
            address: &address,
            password: &password,
            recovery: None,
            cost: Argon2Cost::default(),
            created: Timestamp::now(),
        };
        Ok(Keyset::create(&new)?.0.to_json())
    });
    made.await.map_err(|_| OperatorError::Ended("making keys"))?
}
