//! The bill of materials, as SPDX 2.3 has it: what is in the image, of which version, under which licence.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

/// Something that is in the image.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Package {
    name: String,
    version: String,
    /// As an SPDX expression.
    licence: String,
    /// A package URL.
    url: String,
    /// What it is there for, or where its source is.
    note: String,
}

/// Reads lines of name, version, licence, package URL and note, with tabs between them.
pub(crate) fn packages(text: &str) -> Result<Vec<Package>, String> {
    let package = |line: &str| {
        let [name, version, licence, url, note] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("a package is five words with tabs between them: {line:?}"));
        };
        let [name, version, licence, url, note] = [name, version, licence, url, note].map(str::to_owned);
        Ok(Package { name, version, licence, url, note })
    };
    text.lines().filter(|line| !line.is_empty()).map(package).collect()
}

/// The crates that are linked into the programs of `roots`: what only builds or tests them is not in the image, nor is
/// what runs in the compiler.
pub(crate) fn crates(metadata: &Value, roots: &[&str]) -> Result<Vec<Package>, String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let by_id = |values: Vec<Value>| -> BTreeMap<String, Value> {
        values.into_iter().filter_map(|value| Some((value["id"].as_str()?.to_owned(), value))).collect()
    };
    let (all, nodes) = (by_id(list(&metadata["packages"])), by_id(list(&metadata["resolve"]["nodes"])));
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::new();
    for root in roots {
        let found = all.iter().find(|(_, package)| package["name"] == *root && package["source"].is_null());
        waiting.push_back(found.ok_or_else(|| format!("no crate {root} in the workspace"))?.0.clone());
    }
    while let Some(id) = waiting.pop_front() {
        let Some(package) = all.get(&id).filter(|package| !is_macro(package)) else { continue };
        if !seen.insert(crate_of(package)) {
            continue;
        }
        let normal = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        let deps = nodes.get(&id).map(|node| list(&node["deps"])).unwrap_or_default();
        let linked = deps.iter().filter(|dep| normal(dep)).filter_map(|dep| dep["pkg"].as_str());
        waiting.extend(linked.map(str::to_owned));
    }
    Ok(seen.into_iter().collect())
}

fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .flat_map(|target| target["kind"].as_array().into_iter().flatten())
        .any(|kind| kind == "proc-macro")
}

fn crate_of(package: &Value) -> Package {
    let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
    let (name, version) = (text("name"), text("version"));
    let url = format!("pkg:cargo/{name}@{version}");
    // Older manifests separate alternatives with a slash.
    let licence = text("license").replace('/', " OR ");
    Package { name, version, licence, url, note: text("repository") }
}

/// The document.
pub(crate) fn document(created: &str, namespace: &str, mut all: Vec<Package>) -> Value {
    all.sort();
    all.dedup();
    let identity = |at: usize| format!("SPDXRef-Package-{at}");
    let package = |(at, package): (usize, &Package)| {
        let licence = if package.licence.is_empty() { "NOASSERTION" } else { &package.licence };
        json!({
            "SPDXID": identity(at),
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": licence,
            "copyrightText": "NOASSERTION",
            "comment": package.note,
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.url,
            }],
        })
    };
    let described = |at: usize| {
        json!({
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": identity(at),
        })
    };
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "lfp-appliance",
        "documentNamespace": namespace,
        "creationInfo": {"created": created, "creators": ["Tool: appliance/build"]},
        "packages": all.iter().enumerate().map(package).collect::<Vec<_>>(),
        "relationships": (0..all.len()).map(described).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_nothing_else() {
        let package = |name: &str, kind: &str| {
            json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": null,
                   "targets": [{"kind": [kind]}]})
        };
        let dep = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("root", "bin"), package("linked", "lib"), package("builder", "lib"),
                         package("derive", "proc-macro"), package("deeper", "lib"), package("other", "lib")],
            "resolve": {"nodes": [
                {"id": "root", "deps": [dep("linked", Value::Null), dep("builder", "build".into()),
                                        dep("derive", Value::Null)]},
                {"id": "linked", "deps": [dep("deeper", Value::Null), dep("root", "dev".into())]},
                {"id": "derive", "deps": [dep("other", Value::Null)]},
            ]},
        });
        let crates = crates(&metadata, &["root"]).unwrap();
        let names: Vec<_> = crates.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["deeper", "linked", "root"]);
        assert_eq!(crates[0].licence, "MIT OR Apache-2.0");
        assert!(super::crates(&metadata, &["absent"]).is_err());
        let document = document("2026-01-01T00:00:00Z", "urn:x", crates);
        assert_eq!(document["packages"].as_array().unwrap().len(), 3);
        assert_eq!(document["relationships"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_line_that_is_no_package_is_refused() {
        assert_eq!(packages("a\tb\tc\td\te\n").unwrap().len(), 1);
        assert!(packages("a\tb\n").unwrap_err().contains("five"));
    }
}
