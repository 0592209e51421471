//! Users: names for user numbers, from `/etc/passwd` alone: a name service could make us wait.

use std::collections::HashMap;

/// The name of one user.
pub(crate) fn name(uid: u32) -> Option<String> {
    Users::read().name(uid)
}

/// Names by number.
pub(super) struct Users(HashMap<u32, String>);

impl Users {
    pub(super) fn read() -> Self {
        let text = std::fs::read("/etc/passwd").unwrap_or_default();
        let lines = text.split(|&byte| byte == b'\n');
        Users(
            lines
                .filter_map(|line| {
                    let mut fields = line.split(|&byte| byte == b':');
                    let name = String::from_utf8_lossy(fields.next()?).into_owned();
                    let uid = crate::proc::text::decimal(fields.nth(1)?)?;
                    Some((u32::try_from(uid).ok()?, name))
                })
                .collect(),
        )
    }

    pub(super) fn name(&self, uid: u32) -> Option<String> {
        self.0.get(&uid).cloned()
    }
}
