//! The summary for programs.

use crate::summary::Summary;

/// The error is for the user's eyes.
pub(crate) fn text(summary: &Summary) -> Result<Vec<u8>, String> {
    let mut text = serde_json::to_vec_pretty(summary)
        .map_err(|error| format!("cannot write JSON: {error}"))?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use crate::summary::tests::{measured, summary};

    #[test]
    fn it_names_its_schema_and_reads_back() {
        let text = super::text(&summary(Some(500), &measured(Some(500)))).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["schema"], "wheelhouse-load/1");
        assert_eq!(value["rate"], 500);
        assert_eq!(value["service_time"]["percentiles"][4]["percentile"], 99.0);
        assert_eq!(value["service_time"]["percentiles"][4]["beyond"], 10);
        assert_eq!(value["plan"]["planned"], 1000);
        let closed = super::text(&summary(None, &measured(None))).unwrap();
        let closed: serde_json::Value = serde_json::from_slice(&closed).unwrap();
        assert!(closed["response_time"].is_null() && closed["plan"].is_null());
    }
}
