//! Seccomp filters: the default one from `seccomp.table`, or a file in Docker's format, both cut
//! down to this machine and the container's capabilities.
//!
//! <https://docs.docker.com/engine/security/seccomp/>,
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp>

use std::path::Path;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const TABLE: &str = include_str!("seccomp.table");
const ALLOW: &str = "SCMP_ACT_ALLOW";
const ERROR: &str = "SCMP_ACT_ERRNO";
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// All flags of `clone` that make namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// Socket families that reach beyond the container: the kernel's cryptography (38) and virtual
/// machines (40).
const FAMILIES_BELOW: u64 = 38;
const FAMILY_BETWEEN: u64 = 39;
const FAMILIES_ABOVE: u64 = 40;

/// A profile in Docker's format.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Vec<String>,
    arch_map: Vec<ArchitectureMap>,
    flags: Vec<String>,
    syscalls: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ArchitectureMap {
    architecture: String,
    sub_architectures: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    /// Before there was `names`.
    name: String,
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<Argument>>,
    includes: Option<Condition>,
    excludes: Option<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    value_two: u64,
    op: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    /// `4.8`.
    min_kernel: String,
}

/// What a filter is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// As Go names it: `amd64`.
    pub(crate) architecture: String,
    /// Major and minor number of the kernel.
    pub(crate) kernel: (u32, u32),
}

impl Machine {
    pub(crate) fn detect() -> Self {
        Self {
            architecture: crate::image::host_platform().architecture,
            kernel: version(&rustix::system::uname().release().to_string_lossy()),
        }
    }
}

/// `6.18.44-x` is 6 and 18.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|character: char| !character.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

impl Condition {
    /// Whether everything that it names is so (`includes`).
    fn holds(&self, machine: &Machine, capabilities: &[&str]) -> bool {
        (self.arches.is_empty() || self.arches.contains(&machine.architecture))
            && self.caps.iter().all(|name| capabilities.contains(&name.as_str()))
            && (self.min_kernel.is_empty() || machine.kernel >= version(&self.min_kernel))
    }

    /// Whether anything that it names is so (`excludes`).
    fn touches(&self, machine: &Machine, capabilities: &[&str]) -> bool {
        self.arches.contains(&machine.architecture)
            || self.caps.iter().any(|name| capabilities.contains(&name.as_str()))
            || (!self.min_kernel.is_empty() && machine.kernel >= version(&self.min_kernel))
    }
}

/// The default profile.
pub(crate) fn default_profile() -> Profile {
    let mut syscalls: Vec<Rule> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut words = line.split_whitespace().map(str::to_owned);
        if line.starts_with(' ') {
            if let Some(rule) = syscalls.last_mut() {
                rule.names.extend(words);
            }
            continue;
        }
        let mut includes = Condition::default();
        match words.next().as_deref() {
            Some("cap") => includes.caps = words.collect(),
            Some("arch") => includes.arches = words.collect(),
            _ => {}
        }
        syscalls.push(Rule { action: ALLOW.to_owned(), includes: Some(includes), ..Rule::default() });
    }
    let argument = |name: &str, index: u32, op: &str, value: u64| Rule {
        names: vec![name.to_owned()],
        action: ALLOW.to_owned(),
        args: Some(vec![Argument { index, value, value_two: 0, op: format!("SCMP_CMP_{op}") }]),
        ..Rule::default()
    };
    // Linux, 32 bits, without randomised addresses, both, and the question.
    for value in [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        syscalls.push(argument("personality", 0, "EQ", value));
    }
    for (op, family) in [("LT", FAMILIES_BELOW), ("EQ", FAMILY_BETWEEN), ("GT", FAMILIES_ABOVE)] {
        syscalls.push(argument("socket", 0, op, family));
    }
    let admin = || vec!["CAP_SYS_ADMIN".to_owned()];
    let swapped = || vec!["s390x".to_owned()];
    // Without new namespaces; s390x has the first two arguments of `clone` the other way round.
    let mut clone = argument("clone", 0, "MASKED_EQ", NEW_NAMESPACES);
    clone.excludes = Some(Condition { caps: admin(), arches: swapped(), ..Condition::default() });
    let mut clone_swapped = argument("clone", 1, "MASKED_EQ", NEW_NAMESPACES);
    clone_swapped.includes = Some(Condition { arches: swapped(), ..Condition::default() });
    clone_swapped.excludes = Some(Condition { caps: admin(), ..Condition::default() });
    // Its flags lie in memory, where no filter sees them; libraries fall back to `clone` on ENOSYS.
    let clone3 = Rule {
        names: vec!["clone3".to_owned()],
        action: ERROR.to_owned(),
        errno_ret: Some(ENOSYS),
        excludes: Some(Condition { caps: admin(), ..Condition::default() }),
        ..Rule::default()
    };
    syscalls.extend([clone, clone_swapped, clone3]);
    let map = |architecture: &str, further: &[&str]| ArchitectureMap {
        architecture: format!("SCMP_ARCH_{architecture}"),
        sub_architectures: further.iter().map(|name| format!("SCMP_ARCH_{name}")).collect(),
    };
    Profile {
        default_action: ERROR.to_owned(),
        default_errno_ret: Some(EPERM),
        arch_map: vec![map("X86_64", &["X86", "X32"]), map("AARCH64", &["ARM"]), map("S390X", &["S390"])],
        syscalls,
        ..Profile::default()
    }
}

/// Reads a profile of the user's.
pub(crate) fn read(path: &Path) -> Result<Profile> {
    let invalid = |error: String| RuntimeError::Invalid {
        message: format!("opening seccomp profile ({}) failed: {error}", path.display()),
    };
    let text = std::fs::read(path).map_err(|error| invalid(error.to_string()))?;
    let profile: Profile = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err(invalid("it has both `architectures` and `archMap`; use one of them".to_owned()));
    }
    if profile.default_action.is_empty() && !profile.syscalls.is_empty() {
        return Err(invalid("it has no `defaultAction`".to_owned()));
    }
    Ok(profile)
}

/// The filter of an OCI specification; `None` where the profile is empty, which means no filter.
pub(crate) fn filter(profile: &Profile, machine: &Machine, capabilities: &[&str]) -> Option<Value> {
    if profile.default_action.is_empty() {
        return None;
    }
    let native = match machine.architecture.as_str() {
        "amd64" => "SCMP_ARCH_X86_64",
        "386" => "SCMP_ARCH_X86",
        "arm64" => "SCMP_ARCH_AARCH64",
        "arm" => "SCMP_ARCH_ARM",
        "ppc64le" => "SCMP_ARCH_PPC64LE",
        "riscv64" => "SCMP_ARCH_RISCV64",
        "s390x" => "SCMP_ARCH_S390X",
        _ => "",
    };
    let mut architectures = profile.architectures.clone();
    if let Some(map) = profile.arch_map.iter().find(|map| map.architecture == native) {
        architectures.push(map.architecture.clone());
        architectures.extend(map.sub_architectures.clone());
    }
    let mut syscalls = Vec::new();
    for rule in &profile.syscalls {
        let included = rule.includes.as_ref().is_none_or(|condition| condition.holds(machine, capabilities));
        let excluded = rule.excludes.as_ref().is_some_and(|condition| condition.touches(machine, capabilities));
        if !included || excluded {
            continue;
        }
        let names = if rule.name.is_empty() { rule.names.clone() } else { vec![rule.name.clone()] };
        let mut entry = json!({ "names": names, "action": rule.action });
        if let Some(errno) = rule.errno_ret {
            entry["errnoRet"] = errno.into();
        }
        if let Some(arguments) = rule.args.as_ref().filter(|arguments| !arguments.is_empty()) {
            entry["args"] = json!(arguments);
        }
        syscalls.push(entry);
    }
    let mut result = json!({
        "defaultAction": profile.default_action,
        "architectures": architectures,
        "syscalls": syscalls,
    });
    if let Some(errno) = profile.default_errno_ret {
        result["defaultErrnoRet"] = errno.into();
    }
    if !profile.flags.is_empty() {
        result["flags"] = json!(profile.flags);
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(architecture: &str) -> Machine {
        Machine { architecture: architecture.to_owned(), kernel: (6, 1) }
    }

    /// Actions of the rules that name a call.
    fn rules(filter: &Value, name: &str) -> Vec<Value> {
        let names = |rule: &&Value| rule["names"].as_array().is_some_and(|names| names.contains(&json!(name)));
        filter["syscalls"].as_array().into_iter().flatten().filter(names).cloned().collect()
    }

    #[test]
    fn calls_come_with_the_capabilities_that_guard_them() {
        let plain = filter(&default_profile(), &machine("amd64"), &["CAP_CHOWN"]).unwrap();
        assert_eq!(plain["defaultAction"], ERROR);
        assert_eq!(plain["architectures"], json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]));
        for (name, allowed) in [("read", true), ("arch_prctl", true), ("mount", false), ("io_uring_setup", false)] {
            assert_eq!(!rules(&plain, name).is_empty(), allowed, "{name}");
        }
        assert_eq!(rules(&plain, "clone3")[0]["errnoRet"], ENOSYS);
        assert_eq!(rules(&plain, "clone")[0]["args"][0]["value"], NEW_NAMESPACES);
        let able = filter(&default_profile(), &machine("amd64"), &["CAP_SYS_ADMIN"]).unwrap();
        assert!(!rules(&able, "mount").is_empty());
        assert_eq!(rules(&able, "clone3").len(), 1);
        assert_eq!(rules(&able, "clone")[0].get("args"), None);
        let other = filter(&default_profile(), &machine("s390x"), &[]).unwrap();
        assert_eq!(rules(&other, "clone")[0]["args"][0]["index"], 1);
        assert!(rules(&other, "arch_prctl").is_empty());
    }

    #[test]
    fn a_profile_of_the_users_is_cut_down_to_the_machine() {
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            {"name": "chmod", "action": "SCMP_ACT_ERRNO", "args": null},
            {"names": ["new"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "6.2"}},
            {"names": ["old"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "4.8"}}]}"#;
        let profile: Profile = serde_json::from_str(text).unwrap();
        let got = filter(&profile, &machine("amd64"), &[]).unwrap();
        let wanted = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {"names": ["chmod"], "action": "SCMP_ACT_ERRNO"}, {"names": ["old"], "action": "SCMP_ACT_LOG"},
            ],
        });
        assert_eq!(got, wanted);
        assert_eq!(filter(&Profile::default(), &machine("amd64"), &[]), None);
    }
}
