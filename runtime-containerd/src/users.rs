//! Who a container's process runs as: names are looked up in the image's own files.

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;

/// A process's identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// Home directory; `/` where unknown.
    pub(crate) home: String,
}

/// An account of `/etc/passwd`.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, ..] = fields.as_slice() else { return None };
        Some(Account {
            name,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: fields.get(5).copied().unwrap_or_default(),
        })
    })
}

/// Name, number and members of the groups of `/etc/group`.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, gid.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

/// Resolves `user[:group]`, names or numbers, as dockerd does: a name must exist, a number need
/// not; supplementary groups come from the image unless a group is given.
pub(crate) fn resolve(wanted: &str, further: &[String], passwd: &str, group: &str) -> Result<User> {
    let missing = |what: &str, name: &str| RuntimeError::Invalid {
        message: format!("unable to find {what} {name}: no matching entries in the image's {what} file"),
    };
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let by_name = accounts(passwd).find(|account| account.name == user);
    let number = user.parse::<u32>().ok();
    let account = by_name.or_else(|| accounts(passwd).find(|account| Some(account.uid) == number));
    let mut result = match (&account, number) {
        (Some(account), _) => User {
            uid: account.uid,
            gid: account.gid,
            groups: Vec::new(),
            home: if account.home.is_empty() { "/" } else { account.home }.to_owned(),
        },
        (None, Some(uid)) => User { uid, home: "/".to_owned(), ..User::default() },
        (None, None) => return Err(missing("user", user)),
    };
    let find_group = |wanted: &str| {
        groups(group)
            .find(|(name, ..)| *name == wanted)
            .map(|(_, gid, _)| gid)
            .or_else(|| wanted.parse().ok())
            .ok_or_else(|| missing("group", wanted))
    };
    if let Some(wanted) = wanted_group.filter(|text| !text.is_empty()) {
        result.gid = find_group(wanted)?;
    } else if let Some(account) = &account {
        let member = |members: &str| members.split(',').any(|member| member == account.name);
        result.groups = groups(group).filter(|(.., members)| member(members)).map(|(_, gid, _)| gid).collect();
    }
    for wanted in further {
        result.groups.push(find_group(wanted)?);
    }
    // The list replaces the primary group in what runc sets, so it is part of it, as in dockerd.
    result.groups.push(result.gid);
    result.groups.sort_unstable();
    result.groups.dedup();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/bin/false\nbad line\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\nlog:x:4:web,root\n";

    #[test]
    fn names_and_numbers_are_looked_up_in_the_image() {
        for (wanted, uid, gid, groups, home) in [
            ("", 0, 0, vec![0, 4], "/root"),
            ("web", 33, 33, vec![4, 33], "/srv"),
            ("33", 33, 33, vec![4, 33], "/srv"),
            ("web:log", 33, 4, vec![4], "/srv"),
            ("1000", 1000, 0, vec![0], "/"),
            ("1000:1001", 1000, 1001, vec![1001], "/"),
        ] {
            let user = resolve(wanted, &[], PASSWD, GROUP).unwrap();
            assert_eq!((user.uid, user.gid, user.groups, user.home.as_str()), (uid, gid, groups, home), "{wanted}");
        }
        assert_eq!(resolve("0", &["log".into(), "7".into()], "", GROUP).unwrap().groups, [0, 4, 7]);
        assert!(resolve("nobody", &[], PASSWD, GROUP).is_err());
        assert!(resolve("0:nogroup", &[], PASSWD, GROUP).is_err());
    }
}
