use super::*;

#[test]
fn encoded_words_are_decoded() {
    assert_eq!(decode_words(b"=?iso-8859-1?q?Patrik_F=E4ltstr=F6m?= <p@x>"), "Patrik Fältström <p@x>");
    assert_eq!(decode_words(b"=?UTF-8?B?w6k=?="), "é");
    assert_eq!(decode_words(b"=?utf-8*fr?Q?=C3=A9?="), "é");
    assert_eq!(decode_words(b"=?x-unknown?q?=80?="), "€");
}

#[test]
fn white_space_between_two_words_goes_and_characters_may_be_split() {
    assert_eq!(decode_words(b"=?utf-8?q?a?=\r\n =?utf-8?q?b?= c"), "ab c");
    assert_eq!(decode_words(b"=?utf-8?q?=C3?= =?utf-8?q?=A9?="), "é");
    assert_eq!(decode_words(b"=?utf-8?q?a?= x =?utf-8?q?b?="), "a x b");
}

#[test]
fn what_is_not_a_word_stays() {
    for text in ["=?", "=?utf-8", "=?utf-8?q?abc", "=?utf-8?x?abc?=", "=??q?a?=", "=?a b?q?c?=", "1 =? 2 ?= 3"] {
        assert_eq!(decode_words(text.as_bytes()), text);
    }
}

#[test]
fn raw_eight_bit_is_utf8_or_else_windows_1252() {
    assert_eq!(decode_words("é".as_bytes()), "é");
    assert_eq!(decode_words(b"\xe9\x80"), "é€");
}
