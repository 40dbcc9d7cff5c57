//! What is shipped with the programs: the folder for sockets, the version, the workflows.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Output;

use anyhow::{Context, ensure};
use forever200_testkit::process::{command, project};

/// The user `nobody` of Debian.
const NOBODY: u32 = 65_534;

/// Runs the first steps of `make run` with this folder, up to the build, and returns their stderr.
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
    // For everyone but root, a folder of root belongs to another user.
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
        // With a slash at the end, a link would be followed.
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

/// Runs a step of a release.
fn release(arguments: &[&str]) -> anyhow::Result<Output> {
    command(project().join("scripts/release"))
        .args(arguments)
        .output()
        .context("scripts/release cannot be started")
}

#[test]
fn the_version_stands_in_cargo_toml_alone() -> anyhow::Result<()> {
    let version = String::from_utf8(release(&["version"])?.stdout)?;
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    for file in [
        "Dockerfile",
        "docker-compose.yml",
        "scripts/release",
        ".github/workflows/release.yml",
    ] {
        let text = std::fs::read_to_string(project().join(file))?;
        assert!(!text.contains(version.trim()), "{file} repeats the version");
    }
    Ok(())
}

#[test]
fn a_tag_that_is_not_the_version_releases_nothing() -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let check = |tag: &str| release(&["check", tag]);
    let accepted = check(&format!("v{version}"))?;
    assert!(accepted.status.success(), "{accepted:?}");
    for tag in [version, "v0.0.0", "", "v", &format!("v{version}-rc.1")] {
        let refused = check(tag)?;
        assert_eq!(refused.status.code(), Some(1), "{tag}");
        let line = String::from_utf8(refused.stderr)?;
        assert!(
            line.contains(&format!("Cargo.toml has version {version}")),
            "{line}"
        );
    }
    // The notes of a release are its own section only.
    let notes = String::from_utf8(release(&["notes"])?.stdout)?;
    assert!(notes.contains("### Added"), "{notes}");
    assert!(!notes.contains("## ["), "{notes}");
    Ok(())
}
