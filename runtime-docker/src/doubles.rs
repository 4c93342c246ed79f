//! Networks of one name, of which Engine 20.10 can have several: it goes on making the network that
//! a killed client had asked for, while the next client, which does not see it yet, asks for it
//! again. From then on everything that names it fails.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;

use crate::transport::{Answer, Call, Query, Transport, encode};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    name: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default)]
    containers: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

/// The network that the engine complains of having several of.
fn complained_of(status: StatusCode, body: &[u8]) -> Option<String> {
    if status.is_success() {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let (before, _) = text.split_once(" is ambiguous (")?;
    let name = before.rsplit_once("network ").map_or(before, |(_, name)| name);
    Some(name.to_owned())
}

/// Where an answer is the complaint that a network's name is ambiguous: removes the further networks
/// of that name that Compose made and no container uses. Whether it is worth asking again.
pub(crate) async fn settle(transport: &Transport, answer: &Answer) -> bool {
    let Some(name) = complained_of(answer.status, &answer.body) else { return false };
    let filters = serde_json::json!({ "name": { &name: true } }).to_string();
    let call = Call::get(format!("/networks{}", Query::new().with("filters", &filters)));
    let Ok(list) = transport.unary(call).await else { return false };
    let Ok(list) = list.decode::<Vec<Listed>>() else { return false };
    // The engine's filter finds parts of names too.
    let mut doubles = Vec::new();
    for network in list.into_iter().filter(|network| network.name == name) {
        let call = Call::get(format!("/networks/{}", encode(&network.id)));
        // One that has gone meanwhile is no double.
        let Ok(answer) = transport.unary(call).await else { continue };
        let Ok(found) = answer.decode::<Inspected>() else { continue };
        let used = found.containers.is_some_and(|containers| !containers.is_empty());
        doubles.push((!used, network.created.clone(), network.id.clone(), network));
    }
    // All who meet the complaint at the same time have to come to the same choice.
    doubles.sort_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)));
    for (unused, _, id, network) in doubles.into_iter().skip(1) {
        let ours = network.labels.is_some_and(|labels| labels.contains_key(compose_planner::labels::PROJECT));
        if unused && ours {
            // Another start may have removed it, or begun to use it: then the question decides.
            let _ = transport.unary(Call::delete(format!("/networks/{}", encode(&id)))).await;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_from_the_complaint() {
        let text = r#"{"message":"network shop_default is ambiguous (2 matches found on name)"}"#;
        let complained = |status, text: &str| complained_of(status, text.as_bytes());
        assert_eq!(complained(StatusCode::BAD_REQUEST, text), Some("shop_default".to_owned()));
        assert_eq!(complained(StatusCode::OK, text), None);
        assert_eq!(complained(StatusCode::NOT_FOUND, "network x not found"), None);
    }
}
