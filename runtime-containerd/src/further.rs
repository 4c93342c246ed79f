//! What a container was made with, in the words of Compose files: from the record, and from the
//! runtime's document where the record has it not. Only for showing: `alpha generate` makes a file
//! of it.

use std::collections::BTreeMap;

use compose_model::units::Duration;
use compose_planner::observed::{Further, READ_ONLY};
use serde_json::Value;

use crate::oci::DEFAULT_CAPABILITIES;
use crate::record::Record;

/// The attributes by their names; what is usual is left out.
pub(crate) fn attributes(record: &Record, document: &Value) -> BTreeMap<String, Further> {
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: Further| drop(all.insert(name.to_owned(), value));
    if !record.stop_signal.is_empty() {
        put("stop_signal", Further::Text(record.stop_signal.clone()));
    }
    if let Some(seconds) = record.stop_timeout {
        put("stop_grace_period", Further::Text(format!("{seconds}s")));
    }
    if record.stdin_open {
        put("stdin_open", Further::Flag(true));
    }
    let (added, dropped) = capabilities(document);
    let fixed = record.mounts.iter().map(|mount| &mount.target).filter(|target| is_read_only(document, target));
    for (name, list) in [
        ("dns", record.dns.clone()),
        ("extra_hosts", record.extra_hosts.clone()),
        ("cap_add", added),
        ("cap_drop", dropped),
        (READ_ONLY, fixed.cloned().collect()),
    ] {
        if !list.is_empty() {
            put(name, Further::List(list));
        }
    }
    if let Some(check) = record.healthcheck.as_ref().filter(|check| !check.test.is_empty()) {
        put("healthcheck.test", Further::List(check.test.clone()));
        let times = [("interval", check.interval), ("timeout", check.timeout), ("start_period", check.start_period)];
        for (name, time) in times {
            if let Some(time) = time.filter(|time| *time != Duration::default()) {
                put(&format!("healthcheck.{name}"), Further::Text(time.to_string()));
            }
        }
        if let Some(retries) = check.retries.filter(|retries| *retries > 0) {
            put("healthcheck.retries", Further::Number(i64::try_from(retries).unwrap_or(i64::MAX)));
        }
    }
    all
}

/// Limits by the attribute's name; unset ones are absent.
pub(crate) fn limits(document: &Value) -> BTreeMap<String, String> {
    let resources = &document["linux"]["resources"];
    let number = |value: &Value| value.as_i64().filter(|number| *number > 0).map(|number| number.to_string());
    [
        ("mem_limit", number(&resources["memory"]["limit"])),
        ("mem_reservation", number(&resources["memory"]["reservation"])),
        ("pids_limit", number(&resources["pids"]["limit"])),
        ("cpuset", resources["cpu"]["cpus"].as_str().filter(|cpus| !cpus.is_empty()).map(str::to_owned)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// Capabilities beyond the usual ones, and usual ones that are missing.
fn capabilities(document: &Value) -> (Vec<String>, Vec<String>) {
    let Some(bounding) = document["process"]["capabilities"]["bounding"].as_array() else { return Default::default() };
    let has: Vec<&str> = bounding.iter().filter_map(Value::as_str).collect();
    let short = |name: &&str| name.trim_start_matches("CAP_").to_owned();
    let added = has.iter().filter(|name| !DEFAULT_CAPABILITIES.contains(name)).map(short).collect();
    let dropped = DEFAULT_CAPABILITIES.iter().filter(|name| !has.contains(name)).map(short).collect();
    (added, dropped)
}

fn is_read_only(document: &Value, target: &str) -> bool {
    let mut mounts = document["mounts"].as_array().into_iter().flatten();
    let read_only =
        |mount: &Value| mount["options"].as_array().is_some_and(|options| options.iter().any(|option| option == "ro"));
    mounts.any(|mount| mount["destination"] == target && read_only(mount))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_and_its_document_are_told_in_the_words_of_compose_files() {
        let mut bounding = DEFAULT_CAPABILITIES.to_vec();
        bounding.retain(|name| *name != "CAP_MKNOD");
        bounding.push("CAP_NET_ADMIN");
        let document = json!({
            "process": {"capabilities": {"bounding": bounding}},
            "mounts": [{"destination": "/a", "options": ["rbind", "ro"]}, {"destination": "/b", "options": ["rw"]}],
            "linux": {"resources": {"memory": {"limit": 5, "reservation": 0}, "pids": {"limit": -1}, "cpu": {"cpus": "0"}}},
        });
        let mount =
            |target: &str| compose_planner::observed::MountPoint { target: target.into(), ..Default::default() };
        let record = Record {
            stop_signal: "SIGKILL".into(),
            stop_timeout: Some(3),
            mounts: vec![mount("/a"), mount("/b")],
            ..Record::default()
        };
        let told: Vec<String> =
            attributes(&record, &document).into_iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        assert_eq!(
            told,
            [
                "cap_add: List([\"NET_ADMIN\"])",
                "cap_drop: List([\"MKNOD\"])",
                "read-only mounts: List([\"/a\"])",
                "stop_grace_period: Text(\"3s\")",
                "stop_signal: Text(\"SIGKILL\")",
            ]
        );
        let limits: Vec<String> =
            limits(&document).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(limits, ["cpuset=0", "mem_limit=5"]);
    }
}
