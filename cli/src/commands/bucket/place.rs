//! Where a bucket is, and how it opens, as a person says it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use model::backup::S3 as Where;
use sidecar::bucket::{Bucket, Folder, S3, Settings};

/// Options that all subcommands have.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// `file:///path` or `s3://bucket/prefix`.
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// The S3 server: `https://host[:port]`. Without it, it is AWS.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Its region; otherwise `AWS_REGION` or `AWS_DEFAULT_REGION`, otherwise `auto` with an endpoint and `us-east-1` without.
    #[arg(long)]
    pub region: Option<String>,
    /// Authorities that the server's certificate is trusted from, and no others (PEM).
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Folder with `accessKeyId`, `secretAccessKey` and maybe `sessionToken`. Otherwise the environment
    /// (`AWS_ACCESS_KEY_ID`, ...), a profile, or the machine's own role.
    #[arg(long, value_name = "DIR")]
    pub credentials: Option<PathBuf>,
    /// Address the bucket as `https://bucket.host/key`; with an endpoint it is `https://host/bucket/key` otherwise.
    #[arg(long)]
    pub virtual_host: bool,
}

impl Place {
    /// The bucket; nothing is asked of it yet.
    pub fn open(&self) -> anyhow::Result<Box<dyn Bucket>> {
        if let Some(path) = self.url.strip_prefix("file://") {
            let path = Path::new(path);
            if !path.is_absolute() {
                bail!("`{}` is not a URL of a folder\n  write three slashes: file:///path/to/folder", self.url);
            }
            if !path.is_dir() {
                bail!("there is no folder {}", path.display());
            }
            return Ok(Box::new(Folder::new(path)));
        }
        let rest = self.url.strip_prefix("s3://").with_context(|| {
            format!("`{}` is not the URL of a bucket\n  write file:///path or s3://bucket/prefix", self.url)
        })?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            bail!("`{}` names no bucket\n  write s3://bucket/prefix", self.url);
        }
        if self.endpoint.as_deref().is_some_and(|endpoint| !endpoint.starts_with("https://")) {
            bail!("the endpoint has to be https://host or https://host:port");
        }
        let bucket = Where {
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            bucket: bucket.to_owned(),
            region: self
                .region(&["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| std::env::var(name).unwrap_or_default())),
            prefix: prefix.trim_matches('/').to_owned(),
            path_style: self.endpoint.is_some() && !self.virtual_host,
            ambient: self.credentials.is_none(),
        };
        let (credentials, ca) = (self.credentials.clone(), self.ca.clone());
        Ok(Box::new(S3::new(Settings { bucket, credentials, named: String::new(), ca })))
    }

    fn region(&self, environment: &[String]) -> String {
        let given = self.region.iter().chain(environment).find(|region| !region.is_empty()).cloned();
        given.unwrap_or_else(|| if self.endpoint.is_some() { "auto" } else { "us-east-1" }.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        let url = url.to_owned();
        Place { url, endpoint: None, region: None, ca: None, credentials: None, virtual_host: false }
    }

    #[test]
    fn a_url_says_which_bucket_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        assert_eq!(place(&url).open().unwrap().describe(), format!("folder {}", folder.path().display()));
        assert_eq!(place("s3://mail/a/b/").open().unwrap().describe(), "s3://mail/a/b");
        assert_eq!(place("s3://mail").open().unwrap().describe(), "s3://mail");
        let other = Place { endpoint: Some("https://s3.example.org/".into()), ..place("s3://mail/a") };
        assert_eq!(other.open().unwrap().describe(), "s3://mail/a at https://s3.example.org");
        assert_eq!(
            (other.region(&[]), place("s3://mail").region(&[String::new()])),
            ("auto".into(), "us-east-1".into())
        );
        assert_eq!(place("s3://mail").region(&[String::new(), "eu-central-1".to_owned()]), "eu-central-1");
        for wrong in
            ["mail", "file://relative", "file:///not/there/at/all", "s3:///prefix", "https://s3.example.org/mail"]
        {
            assert!(place(wrong).open().is_err(), "{wrong}");
        }
        let clear = Place { endpoint: Some("http://s3.example.org".into()), ..place("s3://mail") };
        assert!(clear.open().is_err());
    }
}
