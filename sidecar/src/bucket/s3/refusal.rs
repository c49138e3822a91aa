//! What a server's refusals mean.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::bucket::{BucketError, Refusal};

/// Of one request, on that many connections.
const ATTEMPTS: u32 = 3;

/// The HTTP status of an answer that is an error; none where there was no answer.
pub fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// True where the object is not there. A bucket that is not there is something else.
pub fn is_absent<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(404) && error.code() != Some("NoSuchBucket")
}

/// True where the connection ended before there was an answer.
pub fn is_cut<E>(error: &SdkError<E, HttpResponse>) -> bool {
    // The client has no name for a connection that ended where an answer should have begun.
    matches!(error, SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_other())
}

/// Sends what may be sent twice, and again where the connection ended before an answer: a server may close one that is idle, or
/// whose last request it refused half-way, in the moment in which it is used again.
pub async fn sent<T, E, F>(mut send: impl FnMut() -> F) -> Result<T, SdkError<E, HttpResponse>>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let mut attempt = 1;
    loop {
        match send().await {
            Err(error) if attempt < ATTEMPTS && is_cut(&error) => attempt += 1,
            answer => return answer,
        }
    }
}

/// True where an upload in parts is not known any more.
pub fn is_expired<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(404) && error.code() == Some("NoSuchUpload")
}

/// The error of a request that failed.
pub fn failed<E>(action: &'static str, key: &str, error: &SdkError<E, HttpResponse>) -> BucketError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let key = key.to_owned();
    let refusal = match error {
        SdkError::ConstructionFailure(_) => Some(Refusal::Other),
        _ => status(error).and_then(|status| refusal(status, error.code().unwrap_or_default())),
    };
    let reason = match status(error) {
        Some(status) => told(status, error.code(), error.message()),
        None => chain(error),
    };
    match refusal {
        Some(refusal) => BucketError::Refused { action, key, refusal, reason },
        None => BucketError::Unavailable { action, key, reason },
    }
}

/// The error of an answer that broke off.
pub fn cut(action: &'static str, key: &str, error: &(dyn Error + 'static)) -> BucketError {
    BucketError::Unavailable { action, key: key.to_owned(), reason: chain(error) }
}

/// What an answer says about later attempts; none where one may well succeed.
fn refusal(status: u16, code: &str) -> Option<Refusal> {
    match (status, code) {
        (_, "NoSuchBucket") => Some(Refusal::NoBucket),
        (_, "RequestTimeTooSkewed") => Some(Refusal::Clock),
        (507, _) => Some(Refusal::Full),
        // No two servers call it the same.
        (_, code) if code.contains("Quota") || code.contains("StorageFull") => Some(Refusal::Full),
        (401 | 403, _) => Some(Refusal::Denied),
        (408 | 409 | 425 | 429 | 500.., _) => None,
        _ => Some(Refusal::Other),
    }
}

fn told(status: u16, code: Option<&str>, message: Option<&str>) -> String {
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    format!("{status}{code}{message}")
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_does_not_mend_is_a_refusal_and_the_rest_is_not() {
        let cases = [
            (404, "NoSuchBucket", Some(Refusal::NoBucket)),
            (403, "AccessDenied", Some(Refusal::Denied)),
            (403, "RequestTimeTooSkewed", Some(Refusal::Clock)),
            (401, "Unauthorized", Some(Refusal::Denied)),
            (400, "XMinioAdminBucketQuotaExceeded", Some(Refusal::Full)),
            (507, "XMinioStorageFull", Some(Refusal::Full)),
            (301, "PermanentRedirect", Some(Refusal::Other)),
            (400, "AuthorizationHeaderMalformed", Some(Refusal::Other)),
            (409, "ConditionalRequestConflict", None),
            (429, "TooManyRequests", None),
            (503, "SlowDown", None),
            (500, "InternalError", None),
        ];
        for (status, code, expected) in cases {
            assert_eq!(refusal(status, code), expected, "{status} {code}");
        }
    }
}
