import JSONText
import Testing

@testable import Grammar

struct RegularExpressionTests {
    static let cases: [(expression: String, matching: [String], others: [String])] = [
        ("a|bc*", ["a", "b", "bcc"], ["", "ac", "abc", "c"]),
        ("(ab){2,3}?", ["abab", "ababab"], ["ab", "abababab"]),
        ("[^a-c\\d]+", ["xyz", "é😀"], ["", "xa", "x1"]),
        ("\\w+@\\w+\\.(de|org)", ["a_1@b.de"], ["a@b.com", "a@bxde", "é@b.de"]),
        ("x.y", ["x y", "x😀y"], ["x\ny", "xy"]),
        ("\\u00e9\\x41\\u{1F600}\\t", ["éA😀\t"], ["éA😀t"]),
        ("\\p{Lu}\\p{Letter}*", ["É", "Aß"], ["a", "A1"]),
        ("^ab$|^c", ["ab", "c"], ["b", "ca"]),
        ("a$b|c^d|^^e$$", ["e"], ["ab", "cd", "a", "d"]),
        ("[\\]\\-a]{2}", ["]-", "aa"], ["ab", "]"]),
        ("(?:a|(?<n>b))c", ["ac", "bc"], ["nc"]),
        ("a{,2}", ["a{,2}"], ["a", "aa"]),
    ]

    @Test(arguments: cases.indices)
    func matchesAsECMA262Does(index: Int) throws {
        let (expression, matching, others) = Self.cases[index]
        let grammar = try Grammar(regularExpression: expression)
        for text in matching { #expect(grammar.accepts(text), "\(expression) and \(text)") }
        for text in others { #expect(!grammar.accepts(text), "\(expression) and \(text)") }
    }

    @Test(arguments: [
        ("a(b", "regular expression, character 2: expected ')' for this '(', found '(b'."),
        ("(?=a)b", "character 1: expected a group without look-around or flags, found '(?=a'."),
        ("(a)\\1", "character 4: expected no word boundary, back-reference or anchor of this kind, found \\1."),
        ("a**", "character 3: expected something that '*' repeats, found '*'."),
        ("[b-a]", "expected a range whose end is not before its start"),
        ("x{2,1}", "character 2: expected a maximum of 2 or more"), ("a{9999}", "at most 5000 repetitions, found 9999"),
        ("[]", "expected some text that matches, found none"), ("\\p{Klingon}", "found \\p{Klingon}."),
        ("a)", "a '(' for every ')'"),
    ])
    func refusesByPlace(expression: String, message: String) {
        let error = #expect(throws: GrammarError.self) { try Grammar(regularExpression: expression) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "none")")
    }
}

struct GBNFTests {
    /// As `grammars/README.md` of llama.cpp describes them.
    static let cases: [(grammar: String, matching: [String], others: [String])] = [
        (
            "root ::= (\n  # moves\n  \"1. \" move \" \" move \"\\n\"\n  ([1-9] [0-9]? \". \" move \" \" move \"\\n\")+\n)\nmove ::= (pawn | castle) [+#]?\npawn ::= ([a-h] \"x\")? [a-h] [1-8]\ncastle ::= \"O-O\" \"-O\"?\n",
            ["1. e4 e5\n2. O-O dxe5+\n"], ["1. e4 e5\n", "1. e9 e5\n2. O-O d5\n"]
        ),
        ("root ::= item{2,3} \",\"?\nitem ::= [^,\\n]", ["ab", "abc,", "éé"], ["a", "abcd", "a,"]),
        ("root ::= \"(\" root \")\" | \"\"", ["", "(())"], ["(()", "())"]),
        ("root ::= list\nlist ::= \"a\" | \"a,\" list", ["a", "a,a,a"], ["a,", ""]),
        ("root::=\"\\x41\\u00e9\\U0001F600\" .", ["Aé😀x", "Aé😀\n"], ["Aé😀"]),
        ("root ::= \"ab\"* \"c\"{0} \"d\"{1,}", ["d", "ababdd"], ["cd", "abb"]),
        ("root ::= \"x\" | \"y\"\nroot ::= \"z\"", ["z"], ["x"]),
    ]

    @Test(arguments: cases.indices)
    func readsAsLlamaDoes(index: Int) throws {
        let (text, matching, others) = Self.cases[index]
        let grammar = try Grammar(gbnf: text)
        for text in matching { #expect(grammar.accepts(text), "\(text)") }
        for text in others { #expect(!grammar.accepts(text), "\(text)") }
    }

    @Test(arguments: [
        ("root ::= \"a", "grammar, line 1, column 10: expected '\"' at the end of a text"),
        ("root ::= item", "grammar, line 1, column 10: expected the name of a rule that is defined, found item."),
        ("item ::= \"a\"", "expected a rule named root"), ("", "expected a rule named root, found no rule."),
        (
            "root ::= \"a\" root2\nroot2 ::= root2 \"b\" | \"c\"",
            "rule root2: expected something before the rule comes again, found left recursion. Write"
        ),
        ("root ::= \"\" root \"x\" | \"y\"", "left recursion"),
        ("root ::= a \"x\"\na ::= \"\" | b\nb ::= a", "left recursion"),
        ("root ::= \"a\" root", "rule root: expected some text that ends, found none."),
        ("root ::= (\"a\"", "line 1, column 10: expected ')' for this '('"),
        ("root ::= <think>", "found a token in angle brackets"),
        ("root ::= [b-a]", "a range whose end is not before its start"), ("root ::= \"\\q\"", "found \\q."),
        ("root = \"a\"", "expected '::=' after root, found '='."), ("root ::= \"a\"{3,2}", "a maximum of 3 or more"),
        ("root ::= * \"a\"", "expected something to repeat before '*'"),
        ("root ::= \"a\" )", "expected the end of the line, found ')'."),
    ])
    func refusesByPlace(grammar: String, message: String) {
        let error = #expect(throws: GrammarError.self) { try Grammar(gbnf: grammar) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "none")")
    }
}

struct SchemaTests {
    @Test(arguments: [
        (
            "{\"properties\": {\"a\": {\"unevaluatedProperties\": false}}}",
            "schema, /properties/a/unevaluatedProperties: expected a keyword that can be enforced, found unevaluatedProperties. Use additionalProperties."
        ),
        ("{\"requierd\": [\"a\"]}", "schema, /requierd: expected a keyword that can be enforced, found requierd."),
        (
            "{\"items\": {\"type\": \"string\", \"pattern\": \"a(?=b)\"}}",
            "schema, /items/pattern: expected a group without look-around or flags at character 2"
        ),
        (
            "{\"type\": \"text\"}",
            "schema, /type: expected null, boolean, object, array, number, string, integer or an array of them, found \"text\"."
        ),
        (
            "{\"$ref\": \"other.json\"}",
            "schema, /$ref: expected a schema within this document, found \"other.json\". Copy"
        ),
        ("{\"$ref\": \"#\"}", "expected a schema that does not apply itself to the same value"),
        (
            "{\"type\": \"string\", \"format\": \"color\"}",
            "schema, /format: expected a format that can be enforced, found \"color\"."
        ),
        (
            "{\"type\": \"array\", \"uniqueItems\": true}",
            "schema, /uniqueItems: expected items of one schema that are strings"
        ),
        ("{\"maxLength\": 20000}", "schema, /maxLength: expected at most 10000, found 20000."),
        ("{\"minItems\": -1}", "schema, /minItems: expected an integer of 0 or more, found -1."),
        (
            "{\"items\": [true]}",
            "schema, /items: expected a schema, found an array of 1. Schemas for single items are prefixItems"
        ),
        (
            "{\"type\": \"integer\", \"minimum\": 2, \"maximum\": 1}",
            "schema, the root: expected some value that obeys it, found none."
        ),
        ("{\"properties\": {\"a\": 3}}", "schema, /properties/a: expected an object, true or false, found 3."),
        ("{\"multipleOf\": 0}", "schema, /multipleOf: expected a number above 0"),
        ("3", "expected an object, true or false, found 3."),
        (
            "{\"$schema\": \"http://example.org/mine\"}",
            "schema, /$schema: expected https://json-schema.org/draft/2020-12/schema"
        ),
    ])
    func refusesByKeywordAndPlace(schema: String, message: String) throws {
        let value = try JSONValue(parsing: schema)
        let error = #expect(throws: GrammarError.self) { try Grammar(schema: value) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "none")")
    }

    /// One spelling of each value, no key twice, members in the order of the schema.
    @Test(arguments: [
        (
            "{}", ["{\"a\": 1, \"b\": [true, null]}", "-1.5e-7", "19.90", "\"\\u001f\\n\""],
            ["{\"a\":1}", "{\"a\": 1, \"a\": 2}", "\"\\u0041\"", "01", " 1", "\"\\/\"", "[1,2]", "\"\n\""]
        ),
        (
            "{\"properties\": {\"b\": {}, \"a\": {}}}", ["{\"b\": 1, \"a\": 2, \"c\": 3}", "{\"a\": 2}"],
            ["{\"a\": 1, \"b\": 2}", "{\"c\": 1, \"a\": 2}"]
        ),
        ("{\"type\": \"integer\"}", ["0", "-7"], ["1.0", "-0", "1e3"]),
        ("{\"enum\": [1.5, 2]}", ["1.5", "2"], ["1.50", "2.0"]),
        (
            "{\"patternProperties\": {\"^[ab]$\": {}}, \"additionalProperties\": false}", ["{\"b\": 1, \"a\": 1}"],
            ["{\"a\": 1, \"a\": 1}", "{\"a\": 1, \"b\": 1, \"a\": 1}"]
        ),
    ])
    func writesOneSpelling(schema: String, matching: [String], others: [String]) throws {
        let grammar = try Grammar(schema: try JSONValue(parsing: schema))
        for text in matching { #expect(grammar.accepts(text), "\(text)") }
        for text in others { #expect(!grammar.accepts(text), "\(text)") }
    }

    /// When all keys of a pattern or all items of an enumeration are used, no further one can begin.
    @Test(arguments: [
        (
            "{\"patternProperties\": {\"^[ab]$\": {\"const\": 1}}, \"additionalProperties\": false}",
            "{\"b\": 1, \"a\": 1", "}"
        ),
        ("{\"items\": {\"enum\": [\"ax\", \"ay\"]}, \"uniqueItems\": true, \"type\": \"array\"}", "[\"ay\", \"a", "x"),
        (
            "{\"items\": {\"enum\": [\"ax\", \"ay\"]}, \"uniqueItems\": true, \"type\": \"array\"}", "[\"ay\", \"ax\"",
            "]"
        ),
    ])
    func countsWhatIsLeft(schema: String, begun: String, next: String) throws {
        let grammar = try Grammar(schema: try JSONValue(parsing: schema))
        var state = GrammarMatcher(grammar, byteTree).start
        let isTaken = state.advance(Array(begun.utf8))
        #expect(isTaken)
        let following = (0..<256).filter { byte in
            var copy = state
            return copy.advance([UInt8(byte)])
        }
        #expect(following == [Int(next.utf8.first!)])
    }

    @Test func choicesAreExact() throws {
        let grammar = try Grammar(choices: ["yes", "no", "not sure"])
        #expect(
            grammar.accepts("no") && grammar.accepts("not sure") && !grammar.accepts("not") && !grammar.accepts("maybe")
        )
        #expect(throws: GrammarError.self) { try Grammar(choices: ["a", ""]) }
        #expect(throws: GrammarError.self) { try Grammar(choices: []) }
    }
}

struct ToolCallTests {
    private static func grammar() throws -> Grammar {
        try Grammar(calling: [
            (
                "get_weather",
                try JSONValue(
                    parsing: """
                        {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}, "city": {"type": "string", "minLength": 1},
                         "days": {"$ref": "#/$defs/days"}}, "required": ["city"], "$defs": {"days": {"type": "integer", "minimum": 1}}}
                        """)
            ),
            ("stop", ["type": "object"]),
            (
                "plan",
                try JSONValue(
                    parsing: """
                        {"properties": {"steps": {"type": "array", "items": {"type": "object", "properties": {"a b": {"type": ["boolean", "null"]}}}}}}
                        """)
            ),
        ])
    }

    /// `"` stands for the token `<|"|>`, `>` at the end for `<tool_call|>`.
    private func accepts(_ text: String) throws -> Bool {
        var state = GrammarMatcher(try Self.grammar(), byteTree).start
        let bytes = Array(text.utf8).map { $0 == 0x22 ? ControlByte.quote : $0 == 0x3E ? ControlByte.callEnd : $0 }
        return state.advance(bytes) && state.isAccepting
    }

    @Test(arguments: [
        ("call:get_weather{city:\"Köln {}, \\\",unit:\"C\"}>", true), ("call:get_weather{city:\"a\",days:3}>", true),
        ("call:get_weather{unit:\"C\"}>", false), ("call:get_weather{city:\"\"}>", false),
        ("call:get_weather{city:\"a\",days:0}>", false), ("call:get_weather{unit:\"C\",city:\"a\"}>", false),
        ("call:get_weather{city:\"a\",x:1}>", false), ("call:get_time{}>", false), ("call:stop{}>", true),
        ("call:stop{now:true,then:[1,{a:\"b\"}]}>", true), ("call:stop{now:1,now:2}>", false), ("call:stop{}", false),
        ("call:plan{steps:[{\"a b\":null},{}]}>", true), ("call:plan{steps:[{a b:null}]}>", false),
    ])
    func callsObeyTheirSchemas(text: String, isValid: Bool) throws { #expect(try accepts(text) == isValid) }

    @Test func aSchemaThatCannotBeEnforcedNamesItsTool() throws {
        let error = #expect(throws: GrammarError.self) {
            try Grammar(calling: [("a", ["type": "object"]), ("b", ["properties": ["x": ["unevaluatedItems": false]]])])
        }
        #expect(error?.description.hasPrefix("tool b, /properties/x/unevaluatedItems: expected a keyword") == true)
    }
}

/// A short text that expands to a huge automaton is refused before its states are built.
@Suite struct GrammarLimitTests {
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            "((a{5000}){5000}){50}", "(((a?){1000}){1000}){1000}", "(\\p{L}{1,200}[^x]{0,200}){5}",
            "(\\w+\\s?){100}(.*)(\\W\\w){40}(a|b)*a(a|b){30}",
        ])
    func aRegularExpressionOfTooManyStatesIsRefused(text: String) throws {
        let error = #expect(throws: GrammarError.self) { try Grammar(regularExpression: text) }
        #expect(error?.code == .tooLarge, "\(String(describing: error))")
        let pattern: JSONValue = ["type": "string", "pattern": .string(text)]
        #expect(throws: GrammarError.self) { try Grammar(schema: pattern) }
        #expect(throws: GrammarError.self) { try Grammar(calling: [("f", ["properties": ["a": pattern]])]) }
    }

    /// Repeating the empty text costs nothing.
    @Test(.timeLimit(.minutes(1))) func repetitionsOfNothingCostNothing() throws {
        #expect(try Grammar(regularExpression: "(?:(?:(?:){5000}){5000}){5000}b").accepts("b"))
        #expect(try Grammar(gbnf: "root ::= (((\"\"{2000}){2000}){2000}){2000} \"b\"").accepts("b"))
    }

    /// Many patterns, each acceptable alone, share the limit of one schema.
    @Test(.timeLimit(.minutes(2))) func aSchemaMayTakeSoMuchWork() throws {
        let patterns = (0..<400).map {
            JSONValue.Member("p\($0)", ["type": "string", "pattern": .string("(a|b)*a(a|b){5}c{\($0)}")])
        }
        let schema: JSONValue = ["type": "object", "properties": .object(patterns)]
        let error = #expect(throws: GrammarError.self) { try Grammar(schema: schema) }
        #expect(error?.code == .tooLarge)
        let few: JSONValue = ["type": "object", "properties": .object(Array(patterns.prefix(2)))]
        #expect(throws: Never.self) { try Grammar(schema: few) }
    }
}
