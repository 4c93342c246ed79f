//! How a registry wants to be talked to: challenges, and tokens in return for credentials.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use url::Url;

use crate::client::Inner;
use crate::credentials::Login;
use crate::error::{RegistryError, Result};
use crate::exchange::{Payload, document, origin};
use crate::hosts::Endpoint;
use crate::reference::Reference;

/// What a token is to allow, as registries write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope(Vec<String>);

impl Scope {
    pub(crate) fn pull(reference: &Reference) -> Self {
        Self(vec![format!("repository:{}:pull", reference.repository)])
    }

    pub(crate) fn push(reference: &Reference) -> Self {
        Self(vec![format!("repository:{}:pull,push", reference.repository)])
    }

    /// Also reading another repository, to mount a blob from it.
    pub(crate) fn and_pull(mut self, repository: &str) -> Self {
        let further = format!("repository:{repository}:pull");
        if !self.0.contains(&further) {
            self.0.push(further);
        }
        self
    }
}

/// A way of authorization that a registry offers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: String, scope: String },
}

/// Authorizations by host and scope. A bad one is forgotten and asked for anew.
#[derive(Default)]
pub(crate) struct Authorizations {
    known: Mutex<BTreeMap<(String, Option<Scope>), HeaderValue>>,
}

impl Authorizations {
    pub(crate) fn of(&self, base: &Url, scope: &Scope) -> Option<HeaderValue> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = origin(base);
        let found = known.get(&(origin.clone(), Some(scope.clone()))).or_else(|| known.get(&(origin, None)));
        found.cloned()
    }

    pub(crate) fn forget(&self, base: &Url, scope: &Scope) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = origin(base);
        known.remove(&(origin.clone(), Some(scope.clone())));
        known.remove(&(origin, None));
    }

    fn keep(&self, base: &Url, scope: Option<&Scope>, header: HeaderValue) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((origin(base), scope.cloned()), header);
    }
}

/// The outcome of an attempt to get an authorization.
pub(crate) enum Granted {
    /// There is one now.
    Yes,
    /// There is none; whether credentials were known.
    No { known: bool, message: String },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenAnswer {
    token: String,
    access_token: String,
}

/// Answers a challenge.
pub(crate) async fn authorize(
    inner: &Inner,
    endpoint: &Endpoint,
    scope: &Scope,
    challenged: &HeaderMap,
) -> Result<Granted> {
    let challenges = challenges(challenged);
    let login = inner.settings.credentials.of(&endpoint.credentials_key).await?;
    let known = login != Login::default();
    let bearer = challenges.iter().find_map(|challenge| match challenge {
        Challenge::Bearer { realm, service, scope } => Some((realm, service, scope)),
        Challenge::Basic => None,
    });
    if let Some((realm, service, wanted)) = bearer {
        let token = if login.registrytoken.is_empty() {
            match fetch_token(inner, endpoint, realm, service, wanted, scope, &login).await? {
                Ok(token) => token,
                Err(message) => return Ok(Granted::No { known, message }),
            }
        } else {
            login.registrytoken
        };
        inner.authorizations.keep(&endpoint.base, Some(scope), secret(&format!("Bearer {token}"))?);
        return Ok(Granted::Yes);
    }
    if challenges.contains(&Challenge::Basic) && !login.username.is_empty() {
        inner.authorizations.keep(&endpoint.base, None, basic(&login)?);
        return Ok(Granted::Yes);
    }
    Ok(Granted::No { known, message: "authentication required".to_owned() })
}

fn basic(login: &Login) -> Result<HeaderValue> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{}:{}", login.username, login.password))))
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| RegistryError::local("a token of the registry has characters that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Gets a token, or the words of the one who refused it.
async fn fetch_token(
    inner: &Inner,
    endpoint: &Endpoint,
    realm: &str,
    service: &str,
    wanted: &str,
    scope: &Scope,
    login: &Login,
) -> Result<std::result::Result<String, String>> {
    let registry = crate::exchange::authority(&endpoint.base);
    let unreadable = |message: &str| RegistryError::Unreadable {
        registry: registry.clone(),
        what: "a request for a token".to_owned(),
        message: message.to_owned(),
    };
    let mut url = Url::parse(realm).map_err(|_| unreadable("the address of its token service is not valid"))?;
    // Credentials that TLS protects so far stay protected.
    if url.scheme() != "https" && !(url.scheme() == "http" && endpoint.base.scheme() == "http") {
        return Err(unreadable("its token service is not reached by TLS"));
    }
    let mut rules = if origin(&url) == origin(&endpoint.base) {
        endpoint.tls.clone()
    } else {
        inner.settings.rules(&crate::exchange::authority(&url))?
    };
    rules.skip_verification |= inner.settings.is_insecure(&crate::exchange::authority(&url));
    let mut scopes = scope.0.clone();
    // What the registry itself names may be more than was thought of, as for a catalogue.
    if !wanted.is_empty() && !wanted.split(' ').all(|one| scopes.iter().any(|scope| scope == one)) && scopes.len() == 1
    {
        scopes = wanted.split(' ').map(str::to_owned).collect();
    }
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let response = if login.identitytoken.is_empty() {
        {
            let mut query = url.query_pairs_mut();
            if !service.is_empty() {
                query.append_pair("service", service);
            }
            for scope in &scopes {
                query.append_pair("scope", scope);
            }
            if !login.username.is_empty() {
                query.append_pair("account", &login.username);
            }
        }
        if !login.username.is_empty() {
            headers.insert(AUTHORIZATION, basic(login)?);
        }
        inner.exchange.send(&inner.settings, &rules, Method::GET, url, headers, Payload::None).await?
    } else {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", service)
            .append_pair("client_id", "compose")
            .append_pair("scope", &scopes.join(" "))
            .append_pair("refresh_token", &login.identitytoken)
            .finish();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let payload = Payload::Bytes(Bytes::from(form));
        inner.exchange.send(&inner.settings, &rules, Method::POST, url, headers, payload).await?
    };
    let status = response.status();
    let body = document(&registry, response).await?;
    if !status.is_success() {
        return Ok(Err(crate::client::words(status, &body)));
    }
    let answer: TokenAnswer =
        serde_json::from_slice(&body).map_err(|_| unreadable("the answer of its token service is no JSON"))?;
    let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
    if token.is_empty() { Err(unreadable("its token service gives no token")) } else { Ok(Ok(token)) }
}

/// The challenges of an answer; what cannot be read is left out.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else { continue };
        found.extend(parse_challenges(text));
    }
    found
}

/// `Bearer realm="...",service="...", Basic realm="..."`.
fn parse_challenges(text: &str) -> Vec<Challenge> {
    let mut schemes: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let word_end = rest.find(['=', ' ', ',']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        if let Some(value) = after.strip_prefix('=') {
            let (value, left) = parse_value(value);
            if let Some((_, parameters)) = schemes.last_mut() {
                parameters.insert(word.to_ascii_lowercase(), value);
            }
            rest = left;
        } else {
            schemes.push((word.to_ascii_lowercase(), BTreeMap::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
        // A stray sign must not stop the walk.
        if let Some(stray) = rest.strip_prefix('=') {
            rest = stray;
        }
    }
    let challenge = |(scheme, mut parameters): (String, BTreeMap<String, String>)| match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service").unwrap_or_default(),
            scope: parameters.remove("scope").unwrap_or_default(),
        }),
        _ => None,
    };
    schemes.into_iter().filter_map(challenge).collect()
}

/// A quoted text or a word, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((index, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[index + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_in_every_shape() {
        let bearer = |realm: &str, service: &str, scope: &str| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.to_owned(),
            scope: scope.to_owned(),
        };
        for (text, wanted) in [
            (
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                vec![bearer("https://auth.example/token", "registry.example", "repository:a/b:pull,push")],
            ),
            ("Basic realm=\"Registry Realm\"", vec![Challenge::Basic]),
            ("bearer realm=x , service = y, Basic", vec![bearer("x", "", ""), Challenge::Basic]),
            (r#"Basic realm="a, Bearer realm=b""#, vec![Challenge::Basic]),
            (r#"Bearer realm="a\"b""#, vec![bearer("a\"b", "", "")]),
            ("Bearer", vec![]),
            ("Negotiate", vec![]),
            ("", vec![]),
            ("=,=\"", vec![]),
            ("Bearer realm=\"open", vec![bearer("open", "", "")]),
        ] {
            assert_eq!(parse_challenges(text), wanted, "{text}");
        }
    }

    #[test]
    fn reading_challenges_ends_on_any_text() {
        for text in ["====", "\"\"\"", "a=b=c=d", "é=\"ü\\", ",,, ,=,\t=", "Bearer \u{0}=\u{1}"] {
            let _ = parse_challenges(text);
        }
    }
}
