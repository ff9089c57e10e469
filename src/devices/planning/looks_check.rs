//! The mistakes that settings can have about who reads whose pictures.

use std::collections::BTreeMap;

use super::Device;
use super::check::Check;
use crate::devices::settings::DeviceConfig;

impl Check<'_> {
    /// Who reads pictures needs cameras of lanes that bring some, and each of them has one such reader.
    pub fn second_looks(&mut self, configs: &[DeviceConfig], devices: &BTreeMap<String, Device>) {
        let mut read_by: BTreeMap<&str, &str> = BTreeMap::new();
        for config in configs {
            let Some(reader) = devices.get(config.id.get_ref()) else { continue };
            let id = reader.profile.id();
            match (&config.reads, reader.profile.picture_form()) {
                (None, Some(_)) => {
                    let wrong = format!("{id} reads pictures, and nothing says whose");
                    self.wrong(&config.profile, wrong, "reads = [\"cam-in\"]".to_owned());
                }
                (Some(reads), None) => {
                    let wrong = format!("{id} reads no pictures");
                    self.wrong(reads, wrong, "reads with a profile that has [read_picture]".to_owned());
                }
                (Some(reads), Some(_)) if reads.get_ref().is_empty() => {
                    self.wrong(reads, "it reads nobody's pictures".to_owned(), "reads = [\"cam-in\"]".to_owned());
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
            for named in config.reads.iter().flat_map(|reads| reads.get_ref()) {
                let Some(camera) = devices.get(named.get_ref()) else {
                    if !self.device_ids.contains(named.get_ref().as_str()) {
                        let known = crate::profile::mistake::one_of(self.device_ids.iter().copied());
                        self.wrong(named, format!("there is no device {:?}", named.get_ref()), known);
                    }
                    continue;
                };
                let has_pictures = camera.profile.messages().iter().any(|message| !message.pictures.is_empty());
                if camera.wiring.camera_of.is_none() || !has_pictures {
                    let wrong = format!("{} brings no pictures of a lane's vehicles", named.get_ref());
                    let allowed = "camera or rear_camera of a lane, with a profile that has pictures".to_owned();
                    self.wrong(named, wrong, allowed);
                }
                if let Some(other) = read_by.insert(named.get_ref(), config.id.get_ref()) {
                    let wrong = format!("{other} reads the pictures of {} already", named.get_ref());
                    self.wrong(named, wrong, "one that reads them".to_owned());
                }
            }
        }
    }
}
