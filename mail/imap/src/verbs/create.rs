//! CREATE (RFC 3501 section 6.3.3) with USE (RFC 6154).

use model::verbs::{FolderChange, SpecialUse};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn create(&mut self, name: &[u8], uses: &[String]) -> Result<Reply, Stop> {
        let special = match uses {
            [] => None,
            [one] => SpecialUse::from_name(one),
            _ => None,
        };
        if special.is_none() && !uses.is_empty() {
            return Ok(Reply::no("That special use is not supported").code("USEATTR"));
        }
        // A trailing separator only says that children will follow.
        let name = super::folder_name(name.strip_suffix(b"/").unwrap_or(name))?;
        self.change_folders(FolderChange::Create { name, special }).await?;
        Ok(Reply::ok("Create completed"))
    }
}
