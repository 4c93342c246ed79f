//! `cargo xtask install`: the program under every name that users know it by.

use crate::{packages, shell};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Shell, and where its completions are looked for below the prefix, with the name of each program.
const COMPLETIONS: [(&str, &str, &str, &str); 3] = [
    ("bash", "share/bash-completion/completions", "", ""),
    ("zsh", "share/zsh/site-functions", "_", ""),
    ("fish", "share/fish/vendor_completions.d", "", ".fish"),
];

/// `cargo xtask install [--prefix DIR]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let prefix = match arguments {
        [] => default_prefix()?,
        [option, folder] if option == "--prefix" => shell::absolute(Path::new(folder))?,
        _ => bail!("install takes --prefix DIR"),
    };
    packages::ensure_build_tools()?;
    shell::say("building the release (this takes some minutes)");
    shell::run(shell::cargo().args(["build", "--quiet", "--release", "--locked", "--package", "compose-cli"]))?;
    let built = shell::target().join("release/compose");

    let programs = prefix.join("bin");
    let program = programs.join("compose");
    place(&built, &program)?;
    link(Path::new("compose"), &programs.join("docker-compose"))?;
    let plugins = docker_config()?.join("cli-plugins");
    link(&program, &plugins.join("docker-compose"))?;

    for (name, folder, before, after) in COMPLETIONS {
        let text = shell::output(Command::new(&program).args(["completion", name]))?;
        write(&prefix.join(folder).join(format!("{before}compose{after}")), &text)?;
        // The same rules, for the other name.
        let other = shell::output(Command::new(programs.join("docker-compose")).args(["completion", name]))?;
        write(&prefix.join(folder).join(format!("{before}docker-compose{after}")), &other)?;
    }
    let manual = prefix.join("share/man/man1");
    fs::create_dir_all(&manual)?;
    shell::output(Command::new(&program).arg("man").arg(&manual))?;

    println!("installed {}, as docker-compose too, and as plugin for `docker compose`", program.display());
    if shell::which("compose").is_none() {
        println!("{} is not in your PATH", programs.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// `/usr/local` for root, `~/.local` for everybody else.
fn default_prefix() -> Result<PathBuf> {
    Ok(if shell::is_root() { PathBuf::from("/usr/local") } else { home()?.join(".local") })
}

fn home() -> Result<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).context("HOME is not set: say --prefix DIR and DOCKER_CONFIG")
}

fn docker_config() -> Result<PathBuf> {
    match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) if !folder.is_empty() => shell::absolute(Path::new(&folder)),
        _ => Ok(home()?.join(".docker")),
    }
}

/// Copies beside the old program first: one that runs cannot be written over.
fn place(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("no folder to install into")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot write {}", folder.display()))?;
    let partial = to.with_extension("partial");
    fs::copy(from, &partial).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
    fs::rename(&partial, to).with_context(|| format!("cannot write {}", to.display()))
}

/// Makes a link, in place of an older link of ours; a foreign file is kept and named.
fn link(target: &Path, at: &Path) -> Result<()> {
    let folder = at.parent().context("no folder to install into")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot write {}", folder.display()))?;
    match fs::symlink_metadata(at) {
        Ok(about) if about.is_symlink() => fs::remove_file(at)?,
        Ok(_) => {
            let kept = at.with_extension("before");
            fs::rename(at, &kept)?;
            println!("{} was there before; it is now {}", at.display(), kept.display());
        }
        Err(_) => {}
    }
    symlink(target, at).with_context(|| format!("cannot write {}", at.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
