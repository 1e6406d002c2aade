import Testing

@testable import Gemma4

/// Searches as Python's `re.search` makes them; the expected places were computed with Python 3.11.
@Suite struct ModulePatternTests {
    @Test(
        arguments: [
            ("^lm_head$", "lm_head", 0), ("^lm_head$", "model.lm_head", nil), ("lm_head$", "model.lm_head", 6),
            (#"layers\.(\d|1[0-4])\.mlp\."#, "layers.14.mlp.up", 0),
            (#"layers\.(\d|1[0-4])\.mlp\."#, "layers.15.mlp.up", nil),
            (#"audio_tower(?!.*lconv1d\.linear_start)"#, "model.audio_tower.layers.0.lconv1d.linear_end", 6),
            (#"audio_tower(?!.*lconv1d\.linear_start)"#, "model.audio_tower.layers.0.lconv1d.linear_start.linear", nil),
            (#"tower(?=\.layers)"#, "tower.x.tower.layers", 8), ("a*", "b", 0), ("a+?b", "xaab", 1),
            ("(?:ab){2}", "xabab", 1),
            ("(?:ab){2,}c", "ababab", nil), ("[^.]+_proj$", "self_attn.q_proj", 10),
            (#"\bq_proj\b"#, "self_attn.q_proj", 10),
            (#"\Bproj"#, "q_proj", 2), ("x|", "abc", 0), ("[a-c]{1,2}z", "abcz", 1), ("(a*)*b", "aaac", nil),
            (#"\w\W\s?\D"#, "ab.c", 1), ("[]x]", "a]", 1), ("[x-]", "a-", 1),
        ] as [(String, String, Int?)])
    func searches(pattern: String, name: String, place: Int?) throws {
        #expect(try #require(ModulePattern(pattern)).firstMatch(in: name) == place)
    }

    @Test(arguments: [
        "(", ")", "a)", "*a", "a**", "[a", "(?<=a)b", "(?P<x>a)", #"\1"#, #"a\"#, "a{2", "a{3,2}", "[z-a]",
    ])
    func refusesWhatIsNoPattern(pattern: String) { #expect(ModulePattern(pattern) == nil) }

    /// One that would take 2^60 steps finds nothing, at once; and no depth of nesting is too much for the stack.
    @Test func endsWhateverThePattern() throws {
        let name = String(repeating: "a", count: 60)
        #expect(try #require(ModulePattern("(a+)+$x")).firstMatch(in: name) == nil)
        let nested = String(repeating: "(", count: 10_000) + String(repeating: ")", count: 10_000)
        #expect(ModulePattern(nested) == nil)
    }
}
