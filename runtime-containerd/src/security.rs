//! `security_opt` and `privileged`: what confines a container beyond its namespaces.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use compose_planner::spec::ContainerSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;

use crate::client::{local, unsupported};
use crate::seccomp::{self, Profile};

/// Profiles of other tools that confine as dockerd's does, in the order in which they are taken.
const KNOWN_APPARMOR: [&str; 3] = ["docker-default", "nerdctl-default", "cri-containerd.apparmor.d"];
/// Our own, loaded where none of them is.
const APPARMOR_NAME: &str = "compose-default";
const APPARMOR_PROFILE: &str = include_str!("apparmor.profile");

/// What confines a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Security {
    pub(crate) no_new_privileges: bool,
    /// Nothing of `/proc` and `/sys` is hidden or read-only.
    pub(crate) unmasked: bool,
    /// `None`: no filter.
    pub(crate) seccomp: Option<Profile>,
    /// AppArmor profile; `None`: unconfined, or a kernel without AppArmor.
    pub(crate) apparmor: Option<String>,
}

/// What the options ask for, before the machine is looked at.
#[derive(Debug, Default, PartialEq)]
struct Wanted<'a> {
    no_new_privileges: bool,
    unmasked: bool,
    seccomp: Option<&'a str>,
    apparmor: Option<&'a str>,
}

fn wanted(spec: &ContainerSpec) -> Result<Wanted<'_>> {
    let mut wanted = Wanted { unmasked: spec.privileged, ..Wanted::default() };
    if spec.privileged {
        wanted.seccomp = Some("unconfined");
        wanted.apparmor = Some("unconfined");
    }
    for option in &spec.security_opt {
        let (key, value) = option.split_once('=').or_else(|| option.split_once(':')).unwrap_or((option, ""));
        match (key, value) {
            ("no-new-privileges", "" | "true") => wanted.no_new_privileges = true,
            ("no-new-privileges", "false") => wanted.no_new_privileges = false,
            ("systempaths", "unconfined") => wanted.unmasked = true,
            ("seccomp", value) if !value.is_empty() => wanted.seccomp = Some(value),
            ("apparmor", value) if !value.is_empty() => wanted.apparmor = Some(value),
            // Without SELinux they say nothing; with it, dockerd's labels are not ours.
            ("label", "disable") => {}
            ("label", _) if !Path::new("/sys/fs/selinux/enforce").exists() => {}
            _ => return Err(unsupported(&format!("honour `security_opt: {option}`"))),
        }
    }
    Ok(wanted)
}

/// Reads the options, and files that they name.
pub(crate) fn of(spec: &ContainerSpec) -> Result<Security> {
    let wanted = wanted(spec)?;
    let seccomp = match wanted.seccomp {
        Some("unconfined") => None,
        None | Some("builtin") if !Path::new("/proc/sys/kernel/seccomp").exists() => None,
        None | Some("builtin") => Some(seccomp::default_profile()),
        Some(path) => Some(seccomp::read(Path::new(path))?),
    };
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let apparmor = match (wanted.apparmor, enabled.is_ok_and(|text| text.starts_with('Y'))) {
        (Some("unconfined"), _) | (None, false) => None,
        (Some(profile), true) => Some(profile.to_owned()),
        (Some(profile), false) => {
            return Err(RuntimeError::Invalid {
                message: format!("AppArmor is not enabled on this machine, and `apparmor={profile}` asks for it"),
            });
        }
        (None, true) => default_apparmor()?,
    };
    Ok(Security { no_new_privileges: wanted.no_new_privileges, unmasked: wanted.unmasked, seccomp, apparmor })
}

/// A profile that is loaded, or ours after loading it; `None` where there is no program to load it
/// with.
fn default_apparmor() -> Result<Option<String>> {
    let loaded = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
    if let Some(name) = chosen(&loaded) {
        return Ok(Some(name.to_owned()));
    }
    let parser =
        ["/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"].into_iter().find(|path| Path::new(path).exists());
    let Some(parser) = parser else { return Ok(None) };
    let failed = |error: std::io::Error| local(parser, error);
    let mut child = Command::new(parser)
        .args(["--replace", "--skip-cache"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(APPARMOR_PROFILE.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(Some(APPARMOR_NAME.to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(local(format!("loading the AppArmor profile {APPARMOR_NAME}"), text))
}

/// The profile to use among the loaded ones, `NAME (MODE)` a line.
fn chosen(loaded: &str) -> Option<&'static str> {
    let names: Vec<&str> = loaded.lines().map(|line| line.rsplit_once(" (").map_or(line, |(name, _)| name)).collect();
    KNOWN_APPARMOR.into_iter().chain([APPARMOR_NAME]).find(|known| names.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(options: &[&str], privileged: bool) -> ContainerSpec {
        let security_opt = options.iter().map(|option| (*option).to_owned()).collect();
        ContainerSpec { security_opt, privileged, ..ContainerSpec::default() }
    }

    #[test]
    fn options_are_read_with_both_separators() {
        let expected = |seccomp| Wanted {
            no_new_privileges: true,
            unmasked: true,
            seccomp: Some(seccomp),
            apparmor: Some("mine"),
        };
        let given =
            spec(&["no-new-privileges:true", "seccomp:/x.json", "apparmor=mine", "systempaths=unconfined"], false);
        assert_eq!(wanted(&given).unwrap(), expected("/x.json"));
        let given = spec(&["no-new-privileges", "seccomp=/x=y.json", "apparmor:mine", "systempaths=unconfined"], false);
        assert_eq!(wanted(&given).unwrap(), expected("/x=y.json"));
        assert!(wanted(&spec(&["nonsense=1"], false)).is_err());
    }

    #[test]
    fn privileged_is_unconfined_unless_told_otherwise() {
        let privileged = spec(&[], true);
        let plain = wanted(&privileged).unwrap();
        assert_eq!((plain.seccomp, plain.apparmor, plain.unmasked), (Some("unconfined"), Some("unconfined"), true));
        assert_eq!(wanted(&spec(&["seccomp=builtin"], true)).unwrap().seccomp, Some("builtin"));
    }

    #[test]
    fn a_loaded_apparmor_profile_is_taken_by_its_whole_name() {
        assert_eq!(chosen("snap.docker-default.x (enforce)\nnerdctl-default (enforce)\n"), Some("nerdctl-default"));
        assert_eq!(chosen("/usr/sbin/ntpd (enforce)\n"), None);
    }
}
