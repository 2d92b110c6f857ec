//! The page that lists the others.

/// Name, path and purpose of each page.
const PAGES: [(&str, &str); 8] = [
    ("General", "/varz"),
    ("JetStream", "/jsz"),
    ("Connections", "/connz"),
    ("Accounts", "/accountz"),
    ("Subscriptions", "/subsz"),
    ("Health probe", "/healthz"),
    ("Details of the health probe", "/healthz?details=true"),
    ("Prometheus metrics", "/metrics"),
];

/// The page as HTML; `base` is the base path without trailing slash.
pub(crate) fn page(base: &str, version: &str) -> String {
    let links: String = PAGES
        .iter()
        .map(|(name, path)| format!("    <li><a href=\"{base}{path}\">{name}</a> <code>{path}</code></li>\n"))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <meta charset=\"utf-8\">\n    \
         <title>midge</title>\n    <style>body {{ font-family: system-ui, sans-serif; margin: 2rem }} \
         li {{ margin: .4rem 0 }} code {{ color: #777 }}</style>\n  </head>\n  <body>\n    \
         <h1>midge <small>{version}</small></h1>\n    <ul>\n{links}    </ul>\n  </body>\n</html>\n"
    )
}

/// A version as it may stand in a page.
pub(crate) fn shown(version: &str) -> String {
    version.chars().filter(|c| c.is_ascii_alphanumeric() || ".-+".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stand_under_the_base_path() {
        let page = page("/base", &shown("1.2.3-<b>"));
        for (_, path) in PAGES {
            assert!(page.contains(&format!("href=\"/base{path}\"")), "{path}");
        }
        assert!(page.contains("<small>1.2.3-b</small>"));
    }
}
