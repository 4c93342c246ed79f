//! The name server's messages: from a query's bytes to an answer's. No sockets.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::names::Names;

/// Seconds that an answer may be kept, as dockerd's.
const TTL: u32 = 600;
/// What we say that we take, small enough for every network.
const PAYLOAD: u16 = 1232;

/// What is to be done with a query.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Send this back.
    Answer(Vec<u8>),
    /// Nobody here has the name: ask these servers (none: the host's).
    Forward(Vec<IpAddr>),
    /// It is no query.
    Nothing,
}

/// Answers a query of a container. `datagram`: the answer has to fit into one.
pub(super) fn answer(names: &mut Names, asker: &str, bytes: &[u8], datagram: bool) -> Reply {
    let Ok(query) = Message::from_vec(bytes) else { return refuse(bytes, ResponseCode::FormErr) };
    if query.metadata.message_type != MessageType::Query {
        return Reply::Nothing;
    }
    let [question] = query.queries.as_slice() else { return refuse(bytes, ResponseCode::FormErr) };
    if query.metadata.op_code != OpCode::Query {
        return refuse(bytes, ResponseCode::NotImp);
    }
    let Some(records) = records(names, asker, question.name(), question.query_type(), question.query_class()) else {
        return match names.upstream(asker) {
            Some(servers) => Reply::Forward(servers),
            None => refuse(bytes, ResponseCode::ServFail),
        };
    };
    let mut response = Message::response(query.metadata.id, OpCode::Query);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.add_query(question.clone());
    response.add_answers(records);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        response.set_edns(edns);
    }
    let Ok(encoded) = response.to_vec() else { return refuse(bytes, ResponseCode::ServFail) };
    if datagram && encoded.len() > usize::from(query.max_payload()) {
        // Asked again over a stream.
        return response.truncate().to_vec().map_or(Reply::Nothing, Reply::Answer);
    }
    Reply::Answer(encoded)
}

/// The records that answer a question; `None`: nobody here has the name.
fn records(names: &mut Names, asker: &str, name: &Name, kind: RecordType, class: DNSClass) -> Option<Vec<Record>> {
    if class != DNSClass::IN {
        return None;
    }
    let record = |data: RData| Record::from_rdata(name.clone(), TTL, data);
    if kind == RecordType::PTR {
        let address = name.parse_arpa_name().ok()?;
        let whole = address.prefix_len() == if address.addr().is_ipv6() { 128 } else { 32 };
        let found = names.reverse(asker, address.addr()).filter(|_| whole)?;
        let target = Name::from_ascii(format!("{found}.")).ok()?;
        return Some(vec![record(RData::PTR(PTR(target)))]);
    }
    let text = name.to_ascii().to_ascii_lowercase();
    // Only an A or AAAA question moves the rotation on; of other types there is nothing, but the
    // name is there.
    let found = names.look_up(asker, text.trim_end_matches('.'), kind == RecordType::AAAA)?;
    if !matches!(kind, RecordType::A | RecordType::AAAA) {
        return Some(Vec::new());
    }
    let data = found.into_iter().map(|address| match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    });
    Some(data.map(record).collect())
}

/// An answer that says why there is none. It repeats the question where that can be read.
pub(super) fn refuse(query: &[u8], code: ResponseCode) -> Reply {
    let Some(id) = query.get(..2).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()) else { return Reply::Nothing };
    let mut response = Message::error_msg(u16::from_be_bytes(id), OpCode::Query, code);
    if let Ok(query) = Message::from_vec(query) {
        response.metadata.recursion_desired = query.metadata.recursion_desired;
        response.add_queries(query.queries);
    }
    response.metadata.recursion_available = true;
    response.to_vec().map_or(Reply::Nothing, Reply::Answer)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;

    use super::*;
    use crate::supervisor::names::{Member, Place};

    fn table(replicas: u8) -> Names {
        let mut names = Names::default();
        for number in 1..=replicas {
            let place = Place {
                network: "front".to_owned(),
                addresses: vec![IpAddr::from([10, 0, 0, number])],
                names: vec!["app".to_owned()],
                links: Vec::new(),
            };
            let member = Member {
                name: format!("shop-app-{number}"),
                places: vec![place],
                running: true,
                serving: true,
                upstream: vec![IpAddr::from([9, 9, 9, 9])],
                outside: number == 1,
            };
            names.set(&format!("id{number}"), member);
        }
        names
    }

    fn query(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::new(77, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.to_vec().unwrap()
    }

    fn ask(names: &mut Names, asker: &str, name: &str, kind: RecordType) -> String {
        match answer(names, asker, &query(name, kind), true) {
            Reply::Answer(bytes) => {
                let message = Message::from_vec(&bytes).unwrap();
                assert_eq!(message.metadata.id, 77);
                let data: Vec<String> = message.answers.iter().map(|record| record.data.to_string()).collect();
                format!("{:?} {}", message.metadata.response_code, data.join(" ")).trim_end().to_owned()
            }
            Reply::Forward(servers) => format!("ask {servers:?}"),
            Reply::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn questions_are_answered_forwarded_or_refused() {
        let mut names = table(2);
        for (asker, name, kind, wanted) in [
            ("id1", "app.", RecordType::A, "NoError 10.0.0.1 10.0.0.2"),
            ("id1", "APP.", RecordType::A, "NoError 10.0.0.2 10.0.0.1"),
            ("id1", "app.front.", RecordType::A, "NoError 10.0.0.1 10.0.0.2"),
            ("id1", "app.", RecordType::AAAA, "NoError"),
            ("id1", "app.", RecordType::MX, "NoError"),
            ("id1", "2.0.0.10.in-addr.arpa.", RecordType::PTR, "NoError shop-app-2.front."),
            ("id1", "0.0.10.in-addr.arpa.", RecordType::PTR, "ask [9.9.9.9]"),
            ("id1", "example.com.", RecordType::A, "ask [9.9.9.9]"),
            ("id2", "example.com.", RecordType::A, "ServFail"),
        ] {
            assert_eq!(ask(&mut names, asker, name, kind), wanted, "{asker} asks for {name} {kind}");
        }
    }

    #[test]
    fn what_does_not_fit_into_a_datagram_is_asked_for_again() {
        let mut names = table(60);
        let Reply::Answer(bytes) = answer(&mut names, "id1", &query("app.", RecordType::A), true) else {
            panic!("no answer")
        };
        assert!(bytes.len() <= 512 && Message::from_vec(&bytes).unwrap().metadata.truncation);
        let Reply::Answer(bytes) = answer(&mut names, "id1", &query("app.", RecordType::A), false) else {
            panic!("no answer")
        };
        assert_eq!(Message::from_vec(&bytes).unwrap().answers.len(), 60);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
            let _ = answer(&mut table(2), "id1", &bytes, true);
        }
    }
}
