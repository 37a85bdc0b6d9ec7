//! A mountpoint as it is written in the configuration.

use avocet_config::{Setting, Unfit, Value, setting};
use avocet_session::MountpointTemplate;

/// The value of `mountpoint`.
#[derive(Clone, Debug, PartialEq)]
pub struct MountpointText(pub MountpointTemplate);

impl Setting for MountpointText {
    fn read(value: &Value) -> Result<Self, Unfit> {
        let text = value.text().ok_or_else(|| Unfit::found(value))?;
        match MountpointTemplate::parse(text) {
            Ok(template) => Ok(Self(template)),
            Err(error) => Err(Unfit(error.text().to_owned())),
        }
    }

    fn accepted() -> String {
        "the beginning of a topic, such as \"sensors/${clientid}/\"".to_owned()
    }

    fn write(&self) -> String {
        format!("{:?}", self.0.to_string())
    }
}

setting!(MountpointText);
