//! What is shipped around the programs: the folder of the sockets, the version, the workflows.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::process::{command, project};

/// The user `nobody` of Debian.
const NOBODY: u32 = 65_534;

/// Begins `make run` with this folder, up to the build, and returns what went to stderr before that.
fn make_run(folder: &Path) -> anyhow::Result<String> {
    let stubs = tempfile::tempdir()?;
    let cargo = stubs.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\necho reached the build >&2; exit 1\n")?;
    std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755))?;
    let path = format!("{}:{}", stubs.path().display(), std::env::var("PATH")?);
    let output = command("make")
        .args(["--no-print-directory", "--old-file=install", "run"])
        .env("PATH", path)
        .env("FOREVER200_RUN", folder)
        .current_dir(project())
        .output()
        .context("cannot start it: apt-get install make")?;
    ensure!(!output.status.success(), "the build is a stub that fails");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn a_run_folder_that_others_may_change_is_refused() -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let root = temporary.path();
    let make = |name: &str, mode: u32| {
        let folder = root.join(name);
        std::fs::create_dir(&folder)?;
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode))?;
        std::io::Result::Ok(folder)
    };
    // Folders of root's are somebody else's for everyone but root.
    let others = if rustix::process::getuid().is_root() {
        let folder = make("others", 0o700)?;
        chown(&folder, Some(NOBODY), None)?;
        folder
    } else {
        "/usr".into()
    };
    let own = make("own", 0o755)?;
    symlink(&own, root.join("link"))?;
    symlink(root.join("nowhere"), root.join("dangling"))?;
    for (folder, reason) in [
        (others, "belongs to another user"),
        (make("group", 0o770)?, "may be written to by other users"),
        (make("sticky", 0o1777)?, "may be written to by other users"),
        (root.join("link"), "is a symbolic link"),
        (root.join("dangling"), "is a symbolic link"),
    ] {
        // A slash at the end makes a link the folder behind it.
        for slash in ["", "/"] {
            let given = format!("{}{slash}", folder.display());
            let stderr = make_run(Path::new(&given))?;
            let line = format!("FOREVER200_RUN: {} {reason}", folder.display());
            let first = stderr.lines().next().context("a line")?;
            assert!(first.starts_with(&line), "{given}: {stderr}");
            assert!(!stderr.contains("reached the build"), "{given}: {stderr}");
        }
    }
    assert!(!root.join("nowhere").exists());
    for folder in [
        own,
        root.join("new"),
        root.join("new/deep"),
        root.join("two words"),
    ] {
        assert!(
            make_run(&folder)?.contains("reached the build"),
            "{folder:?}"
        );
    }
    let mode = std::fs::metadata(root.join("new/deep"))?
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    Ok(())
}
