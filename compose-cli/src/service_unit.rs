//! The supervisor as a service of systemd: without it nothing starts containers again after a
//! start of the machine.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;
use runtime_containerd::Settings;

use crate::context::Context;
use crate::invocation::ExitStatus;

/// Where an administrator's units are.
const DIRECTORY: &str = "/etc/systemd/system";
/// It is there when systemd runs the machine.
const RUNNING: &str = "/run/systemd/system";

/// Arguments.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Print the unit and change nothing
    #[arg(long)]
    pub(crate) print: bool,
    /// Directory of the unit
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    pub(crate) directory: PathBuf,
}

/// The unit's name: one for each containerd and namespace, and a plain one for the usual ones.
fn name(settings: &Settings) -> String {
    let usual = Settings::new("", "", PathBuf::new());
    let mut name = "compose-supervisor".to_owned();
    if settings.address != usual.address {
        let plain = settings.address.trim_start_matches("unix://").trim_matches('/');
        name.push_str(&format!("-{}", plain.trim_end_matches(".sock").replace('/', "-")));
    }
    if settings.namespace != usual.namespace {
        name.push_str(&format!("-{}", settings.namespace));
    }
    let safe =
        |character: char| if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '_' };
    format!("{}.service", name.chars().map(safe).collect::<String>())
}

/// A word of a unit's command line or assignment, quoted; `%` and `$` stand for themselves.
fn quoted(text: &str) -> anyhow::Result<String> {
    if text.contains(['\n', '\r', '\0']) {
        bail!("{text:?} cannot stand in a unit of systemd");
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    Ok(format!("\"{escaped}\""))
}

/// The unit.
fn unit(context: &Context<'_>, settings: &Settings) -> anyhow::Result<String> {
    let mut variables =
        vec![("CONTAINERD_ADDRESS", settings.address.as_str()), ("CONTAINERD_NAMESPACE", settings.namespace.as_str())];
    // A service does not have the environment of whoever installs it.
    for name in ["CNI_PATH", "NETCONFPATH"] {
        variables.extend(context.environment.get(name).map(|value| (name, value)));
    }
    let mut lines = String::new();
    for (name, value) in variables {
        lines.push_str(&format!("Environment={}\n", quoted(&format!("{name}={value}"))?));
    }
    let program = settings.program.to_str().context("the path of this program is no UTF-8")?;
    // `$` begins a variable in a command line, and nowhere else.
    let program = quoted(program)?.replace('$', "$$");
    Ok(format!(
        "# Written by `compose supervisor install`.\n\
         [Unit]\n\
         Description=Supervisor of compose for containers on containerd (namespace {namespace})\n\
         After=containerd.service network.target\n\
         Wants=containerd.service\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         {lines}\
         ExecStart={program} supervisor run\n\
         Restart=always\n\
         RestartSec=1\n\
         # Processes that write logs go on without it.\n\
         KillMode=process\n\
         # It waits for containerd, however long that takes to start.\n\
         TimeoutStartSec=infinity\n\
         UMask=0077\n\
         OOMScoreAdjust=-500\n\
         LimitNOFILE=1048576\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        namespace = settings.namespace.replace('%', "%%"),
    ))
}

/// `supervisor install`.
pub(crate) fn install(context: &Context<'_>, settings: &Settings, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let unit = unit(context, settings)?;
    if arguments.print || context.options.dry_run {
        context.output.data(unit)?;
        return Ok(ExitStatus::SUCCESS);
    }
    let name = name(settings);
    let path = arguments.directory.join(&name);
    let same = std::fs::read_to_string(&path).is_ok_and(|there| there == unit);
    if same {
        context.output.line(format!("{} is as it should be", path.display()))?;
    } else {
        write(&path, &unit).map_err(|error| refused(error, &path))?;
        context.output.line(format!("wrote {}", path.display()))?;
    }
    if !is_in_charge(&arguments.directory) {
        context.output.line(format!(
            "systemd does not run here, or does not look there; where it does: systemctl daemon-reload && systemctl \
             enable --now {name}"
        ))?;
        return Ok(ExitStatus::SUCCESS);
    }
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", &name])?;
    // Also when it runs: it may be of an older program or unit.
    systemctl(&["restart", &name])?;
    context.output.line(format!("enabled and started {name}: `systemctl status {name}` shows it"))?;
    Ok(ExitStatus::SUCCESS)
}

/// `supervisor uninstall`.
pub(crate) fn uninstall(
    context: &Context<'_>,
    settings: &Settings,
    arguments: &Arguments,
) -> anyhow::Result<ExitStatus> {
    let name = name(settings);
    let path = arguments.directory.join(&name);
    if arguments.print || context.options.dry_run {
        context.output.line(path.display().to_string())?;
        return Ok(ExitStatus::SUCCESS);
    }
    if !path.exists() {
        context.output.line(format!("{} is not there", path.display()))?;
        return Ok(ExitStatus::SUCCESS);
    }
    let in_charge = is_in_charge(&arguments.directory);
    if in_charge {
        systemctl(&["disable", "--now", &name])?;
    }
    std::fs::remove_file(&path).map_err(|error| refused(error, &path))?;
    if in_charge {
        systemctl(&["daemon-reload"])?;
    }
    context.output.line(format!("removed {}; commands start the supervisor when they need it", path.display()))?;
    Ok(ExitStatus::SUCCESS)
}

/// Whether the unit of these settings is installed.
fn is_installed(settings: &Settings) -> bool {
    Path::new(DIRECTORY).join(name(settings)).exists()
}

/// Says once on this machine that a restart policy does not survive a start of it without the
/// service.
pub(crate) fn hint(context: &Context<'_>, settings: &Settings) {
    if !Path::new(RUNNING).is_dir() || is_installed(settings) {
        return;
    }
    let mark = settings.data_root.join("hinted-at-service");
    if std::fs::OpenOptions::new().write(true).create_new(true).open(&mark).is_ok() {
        context.output.warning(
            "restart policies do not outlive a start of the machine unless the supervisor is a service: `compose \
             supervisor install` makes it one (this is said once)",
        );
    }
}

fn is_in_charge(directory: &Path) -> bool {
    directory == Path::new(DIRECTORY) && Path::new(RUNNING).is_dir()
}

/// Writes the file under another name first: systemd never reads half of it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let unfinished = path.with_extension("service.new");
    std::fs::write(&unfinished, text)?;
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o644))?;
    std::fs::rename(&unfinished, path)
}

fn refused(error: std::io::Error, path: &Path) -> anyhow::Error {
    let root = if error.kind() == ErrorKind::PermissionDenied { ": root rights are needed" } else { "" };
    anyhow::anyhow!("{}: {error}{root}", path.display())
}

fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("systemctl").args(arguments).stdin(Stdio::null()).output().context("systemctl")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("systemctl {}: {text}", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_containerd_and_namespace_has_a_unit_of_its_own() {
        for (address, namespace, wanted) in [
            ("", "", "compose-supervisor.service"),
            ("", "shop", "compose-supervisor-shop.service"),
            ("unix:///run/k3s/containerd.sock", "a b", "compose-supervisor-run-k3s-containerd-a_b.service"),
        ] {
            assert_eq!(name(&Settings::new(address, namespace, PathBuf::new())), wanted);
        }
    }

    #[test]
    fn words_of_a_unit_stand_for_themselves() {
        assert_eq!(quoted("/a b/50%\"\\").unwrap(), r#""/a b/50%%\"\\""#);
        assert!(quoted("a\nExecStart=evil").is_err());
    }
}
