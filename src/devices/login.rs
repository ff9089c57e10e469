//! The login at one device that is asked over HTTP: the numbers of its proofs, and when nothing is asked any more, because
//! devices lock an account that guesses.

use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use super::digest::{Challenge, Credentials};
use crate::profile::http::Call;
use crate::profile::language::http::Login as Kind;

/// So many refusals in a row are no chance: a number that was out of its order is refused once.
const REFUSALS_MAX: u32 = 2;
/// How long nothing is asked after the first refusal of the login, the second, and each one after that. Accounts are locked
/// after five or seven wrong tries within half an hour.
const PAUSES: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(1800)];

/// What is known of the login at one device.
pub struct Login {
    kind: Kind,
    who: Option<Credentials>,
    /// The device's last challenge, with the highest number that it was answered with.
    challenge: Option<Challenge>,
    /// Begins anew with each start, so that no proof of before it is made again.
    seed: [u8; 16],
    /// Proofs that were made.
    proofs: u64,
    /// 401s since something was taken.
    refusals: u32,
    /// Pauses since something was taken.
    pauses: usize,
    pause: Option<Pause>,
    /// The next request proves nothing, and hears what the device wants now.
    asks_anew: bool,
    /// Whether the device took the login when it last was asked.
    is_taken: bool,
    /// Whether it did so ever since the start.
    was_ever_taken: bool,
}

/// Nothing is asked, but for one raise.
struct Pause {
    until: Instant,
    is_raise_spent: bool,
}

impl Login {
    /// Nothing has been asked yet.
    pub fn new(kind: Kind, who: Option<Credentials>) -> Self {
        let mut seed = [0; 16];
        // Without random numbers the counted proofs still differ from each other; the device wants no more.
        let _ = SystemRandom::new().fill(&mut seed);
        let (challenge, pause) = (None, None);
        let (proofs, refusals, pauses) = (0, 0, 0);
        let (asks_anew, is_taken, was_ever_taken) = (false, false, false);
        Self { kind, who, challenge, seed, proofs, refusals, pauses, pause, asks_anew, is_taken, was_ever_taken }
    }

    /// How often a request may go out, or why it may not. In a pause one raise may, where the login was right before: a
    /// driver waits for it, and a device that has forgotten something is more likely than another password.
    pub fn tries(&mut self, is_raise: bool, now: Instant) -> Result<u32, String> {
        if let Some(pause) = self.pause.as_mut().filter(|pause| pause.until > now) {
            if !is_raise || !self.was_ever_taken || pause.is_raise_spent {
                let minutes = (pause.until - now).as_secs().div_ceil(60);
                return Err(format!(
                    "the device refused the login; nothing is asked for {minutes} min, or it locks the account"
                ));
            }
            pause.is_raise_spent = true;
        } else {
            // What it wanted before the pause has most likely ended, and a proof for that counts as one more guess.
            self.asks_anew = self.pause.is_some();
        }
        // With a login that was taken the second refusal may be another request's doing, which had a newer challenge.
        Ok(if self.is_taken { 3 } else { 2 })
    }

    /// What proves to the device who asks; none where it has not said yet what it wants.
    pub fn proof(&mut self, call: &Call) -> Option<String> {
        let who = self.who.as_ref()?;
        match self.kind {
            Kind::None => None,
            Kind::Basic => Some(who.basic()),
            Kind::Digest => {
                if std::mem::take(&mut self.asks_anew) {
                    return None;
                }
                let challenge = self.challenge.as_mut()?;
                self.proofs += 1;
                let cnonce = hex::encode(&Sha256::digest([&self.seed[..], &self.proofs.to_be_bytes()].concat())[..8]);
                Some(challenge.answer(who, &call.method, &call.path, &cnonce))
            }
        }
    }

    /// The device took a request.
    pub fn taken(&mut self) {
        (self.is_taken, self.was_ever_taken) = (true, true);
        (self.refusals, self.pauses, self.pause, self.asks_anew) = (0, 0, None, false);
    }

    /// The device answered a request with 401. Whether it is worth another try: a 401 did nothing at the device, but the
    /// same proof once more, at a nonce that it knows, would only count as one more guess.
    pub fn refused(&mut self, challenge: Option<Challenge>, was_proven: bool) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        let Some(mut challenge) = challenge else { return false };
        let is_known = self.challenge.as_ref().is_some_and(|known| challenge.goes_on_from(known));
        self.challenge = Some(challenge);
        self.who.is_some() && self.kind != Kind::None && !(was_proven && (is_known || self.kind == Kind::Basic))
    }

    /// A request was refused for good. Whether that begins a pause: a number that was out of its order is refused, too, but
    /// the next one is taken.
    pub fn gives_up(&mut self, now: Instant) -> bool {
        let is_paused = self.is_paused(now);
        let may_be_chance = self.kind == Kind::Digest && self.who.is_some() && self.challenge.is_some();
        if is_paused || (may_be_chance && self.refusals < REFUSALS_MAX) {
            return false;
        }
        let lasts = PAUSES[self.pauses.min(PAUSES.len() - 1)];
        self.pauses += 1;
        self.is_taken = false;
        self.pause = Some(Pause { until: now + lasts, is_raise_spent: false });
        true
    }

    /// Whether nothing is asked now.
    pub fn is_paused(&self, now: Instant) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_a_refused_login_grows_until_it_is_taken() {
        let mut login = login();
        let mut now = Instant::now();
        for minutes in [1, 5, 30, 30] {
            assert!(login.tries(false, now).is_ok());
            login.refused(challenge("a"), true);
            login.refused(challenge("b"), true);
            assert!(login.gives_up(now));
            let almost = now + Duration::from_secs(minutes * 60 - 1);
            let why = login.tries(false, almost).expect_err("it would be a guess");
            assert!(why.contains("nothing is asked for 1 min"), "{why}");
            assert!(login.tries(true, almost).is_err(), "a login that was never right is not guessed for a raise");
            now = almost + Duration::from_secs(1);
        }
        login.taken();
        assert!(login.tries(false, now).is_ok());
        assert!(!login.refused(challenge("b"), true), "the nonce is known");
        assert!(!login.gives_up(now), "one refusal is none");
        login.refused(challenge("b"), true);
        assert!(login.gives_up(now));
        assert!(login.tries(false, now + PAUSES[0]).is_ok(), "as short as the first one");
    }

    #[test]
    fn in_a_pause_one_raise_is_tried_and_it_ends_the_pause_or_leaves_it_as_it_is() {
        let mut login = login();
        login.taken();
        let now = Instant::now();
        login.refused(challenge("a"), true);
        login.refused(challenge("b"), true);
        assert!(login.gives_up(now));
        assert!(login.tries(false, now).is_err());
        assert!(login.tries(true, now).is_ok());
        login.refused(challenge("c"), true);
        assert!(!login.gives_up(now + PAUSES[0] / 2), "it makes the pause no longer");
        assert!(login.tries(true, now).is_err(), "and no other raise is");
        assert!(login.tries(false, now + PAUSES[0]).is_ok());
        login.refused(challenge("d"), true);
        assert!(login.gives_up(now + PAUSES[0]));
        assert!(login.tries(true, now + PAUSES[0]).is_ok());
        login.taken();
        assert!(login.tries(false, now + PAUSES[0]).is_ok(), "it was taken");
    }

    /// A nonce of before the pause has ended by then, and what is proven with it may count as a wrong password, too.
    #[test]
    fn a_wrong_password_is_tried_once_before_each_pause() {
        let (mut login, mut now, mut nonce) = (login(), Instant::now(), 0);
        let mut guesses = Vec::new();
        for pause in [PAUSES[0], PAUSES[1], PAUSES[2], PAUSES[2]] {
            let mut tries = login.tries(false, now).expect("the pause is over");
            let mut proofs = 0;
            loop {
                let is_proven = login.proof(&call()).is_some();
                (proofs, tries, nonce) = (proofs + u32::from(is_proven), tries - 1, nonce + 1);
                if !login.refused(challenge(&nonce.to_string()), is_proven) || tries == 0 {
                    break;
                }
            }
            assert!(login.gives_up(now));
            guesses.push(proofs);
            now += pause;
        }
        assert_eq!(guesses, [1, 1, 1, 1]);
    }

    #[test]
    fn numbers_go_on_at_a_known_nonce_and_no_two_proofs_are_the_same() {
        let mut login = login();
        assert!(login.refused(challenge("a"), false), "what was asked without a proof may be asked with one");
        let number = |login: &mut Login| login.proof(&call()).expect("it is challenged");
        let first = number(&mut login);
        assert!(first.contains("nc=00000001"), "{first}");
        assert!(!login.refused(challenge("a"), true));
        let second = number(&mut login);
        assert!(second.contains("nc=00000002"), "{second}");
        // Some answer without a challenge to what they had before.
        assert!(!login.refused(None, true));
        assert!(!login.refused(challenge("a"), true));
        let third = number(&mut login);
        assert!(third.contains("nc=00000003"), "{third}");
        assert!(login.refused(challenge("b"), true), "an old nonce may have ended");
        assert!(number(&mut login).contains("nc=00000001"));
        let cnonce = |proof: &str| proof.split_once("cnonce=").map(|(_, rest)| rest[..18].to_owned());
        assert_ne!(cnonce(&first), cnonce(&second));
        let mut restarted = self::login();
        restarted.refused(challenge("a"), false);
        assert_ne!(cnonce(&first), cnonce(&number(&mut restarted)), "nor after a start");
    }

    fn login() -> Login {
        Login::new(Kind::Digest, Some(Credentials { username: "box".to_owned(), password: "secret".to_owned() }))
    }

    fn challenge(nonce: &str) -> Option<Challenge> {
        let header = format!("Digest realm=\"cam\", qop=\"auth\", nonce=\"{nonce}\"");
        Challenge::best(std::iter::once(header.as_str()))
    }

    fn call() -> Call {
        let (path, body) = ("/a".to_owned(), String::new());
        Call { method: "PUT".to_owned(), path, content_type: String::new(), body, timeout_ms: 0 }
    }
}
