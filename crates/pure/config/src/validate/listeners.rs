//! Ports that exclude each other or need something.

use crate::schema::Options;

pub(super) fn validate(options: &Options) -> Result<(), String> {
    let monitoring = &options.monitoring;
    if let (Some(http), Some(https)) = (monitoring.http, monitoring.https) {
        return Err(format!(
            "Can't start monitoring: can't specify both HTTP ({http}) and HTTPs ({https}) ports"
        ));
    }
    if monitoring.https.is_some() && options.tls.is_none() {
        return Err(String::from("Can't start monitoring: TLS cert and key required for HTTPS"));
    }
    Ok(())
}
