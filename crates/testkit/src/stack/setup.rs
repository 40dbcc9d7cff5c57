//! The settings of a stack: the files as shipped, edited or not, and the environment.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;

use crate::process::{programs, project};
use crate::stack::FRONT_PORT;

pub(super) const HAPROXY_CFG: &str = "haproxy/haproxy.cfg";
pub(super) const SUPERVISORD_CONF: &str = "supervisord.conf";

/// How a stack is started; by default as shipped.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// Further variables.
    pub variables: &'a [(&'a str, &'a str)],
    /// Edits: name of a file, the text to replace, and the new text. `IP` in the new text becomes
    /// the address of the stack.
    pub edits: &'a [(&'a str, &'a str, &'a str)],
    /// Commands that a shell runs before it becomes supervisord, such as `ulimit -n 256;`.
    pub before: &'a str,
    /// Where the programs' log goes, if not into a file.
    pub output: Option<Stdio>,
    /// Where the lines of `FOREVER200_CAPTURES=stdout` go, if not into the same file.
    pub lines: Option<Stdio>,
}

impl Setup<'_> {
    pub(super) fn environment(
        &self,
        ip: Ipv4Addr,
        folder: &Path,
    ) -> anyhow::Result<Vec<(OsString, OsString)>> {
        let run = folder
            .to_str()
            .context("the temporary folder has an odd name")?;
        let own = [
            (
                "PATH",
                format!(
                    "{}:{}:/usr/sbin",
                    programs()?.display(),
                    std::env::var("PATH")?
                ),
            ),
            ("PYTHONPATH", format!("{run}/supervisor")),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("FOREVER200_RUN", run.to_owned()),
            ("FOREVER200_BIND", format!("{ip}:{FRONT_PORT}")),
            ("FOREVER200_RESPONDER_LISTEN", format!("{ip}:9999")),
            (
                "FOREVER200_RESPONDER_SOCKET",
                format!("{run}/responder.sock"),
            ),
            ("FOREVER200_VIEWER_LISTEN", format!("{ip}:8080")),
            ("FOREVER200_MEMCACHED", format!("{ip}:11211")),
        ];
        let further = self
            .variables
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        Ok(own
            .map(|(name, value)| (name.into(), value.into()))
            .into_iter()
            .chain(further)
            .collect())
    }

    /// Copies the files as shipped, for a test to edit.
    pub(super) fn copy_files(&self, ip: Ipv4Addr, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir(folder.join("haproxy"))?;
        std::fs::create_dir(folder.join("supervisor"))?;
        let of_supervisor = [
            "supervisor/bell.py",
            "supervisor/certificate",
            "supervisor/haproxy",
        ];
        for file in [SUPERVISORD_CONF, HAPROXY_CFG]
            .into_iter()
            .chain(of_supervisor)
        {
            std::fs::copy(project().join(file), folder.join(file))?;
        }
        self.edits.iter().try_for_each(|(file, old, new)| {
            edit(&folder.join(file), old, &new.replace("IP", &ip.to_string()))
        })
    }
}

pub(super) fn edit(path: &Path, old: &str, new: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)?;
    anyhow::ensure!(text.contains(old), "no {old:?} in {}", path.display());
    Ok(std::fs::write(path, text.replace(old, new))?)
}
