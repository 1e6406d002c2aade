import Foundation
import JSONText
import Testing

@testable import Grammar
@testable import Tokenization

/// Masks over the published vocabulary.
struct TokenMaskTests {
    private static let published = Result {
        try Tokenizer(TokenizerFile(golden("tokenizer/gemma4.json.gz"), path: "gemma4.json"))
    }
    private static let tree = Result {
        let tokenizer = try published.get()
        return TokenTree(count: tokenizer.vocabularySize) { tokenizer.appendBytes(of: $0, to: &$1) }
    }

    private static let schema = """
        {"type": "object", "properties": {
          "name": {"type": "string", "maxLength": 12}, "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
          "size": {"type": ["number", "null"], "minimum": 0, "multipleOf": 0.25}, "note": {"type": "string"}},
         "required": ["name"]}
        """
    private static let text =
        "{\"name\": \"Jürgen 3\", \"tags\": [\"red\", \"blue\"], \"size\": 12.25, \"note\": \"a \\\"b\\\" 😀\", \"x\": {}}"

    /// After each token of a text: a token is in the mask exactly if its bytes can follow.
    @Test(arguments: [
        ("schema", schema, text), ("regex", "(\\w+ ){1,4}[.!]\\n?", "some words here ."),
        ("gbnf", "root ::= (\"<\" [a-z]+ \">\" inner)*\ninner ::= [^<]* | root", "<b>bold text <i>x"),
        ("choices", "", "not sure"),
    ])
    func masksAreExact(kind: String, source: String, text: String) throws {
        let (tokenizer, tree) = (try Self.published.get(), try Self.tree.get())
        let grammar =
            switch kind {
            case "schema": try Grammar(schema: try JSONValue(parsing: source))
            case "regex": try Grammar(regularExpression: source)
            case "gbnf": try Grammar(gbnf: source)
            default: try Grammar(choices: ["no", "not sure", "yes"])
            }
        var state = GrammarMatcher(grammar, tree).start
        for (index, id) in (tokenizer.encode(text) + [0]).enumerated() {
            let mask = state.mask
            // All tokens now and then, else every 31st.
            for token in stride(from: index % 31, to: tree.vocabularySize, by: index % 16 == 3 ? 1 : 31) {
                var copy = state
                let canFollow = copy.advance(token: token)
                if mask.contains(token) != canFollow {
                    Issue.record("after \(index) tokens of \(text): \(tokenizer.piece(token) ?? "") \(canFollow)")
                }
            }
            if id != 0 {
                #expect(mask.contains(id))
                let isTaken = state.advance(token: id)
                #expect(isTaken)
            }
        }
        #expect(state.isAccepting)
    }

    @Test func specialTokensAreNeverText() throws {
        let (tokenizer, tree) = (try Self.published.get(), try Self.tree.get())
        let mask = GrammarMatcher(try Grammar(regularExpression: "[^]*"), tree).start.mask
        for text in ["<eos>", "<|turn>", "<turn|>", "<|tool_call>", "<|channel>"] {
            #expect(!mask.contains(tokenizer.specialTokens[text]!))
        }
        // A byte that is an ordinary piece too is encoded as that piece.
        #expect(
            !mask.contains(Int(tokenizer.encode("<0x41>", parseSpecial: true)[0]))
                || tree.text(tokenizer.encode("A")[0]) == [0x41])
        #expect(mask.contains(tokenizer.encode("A")[0]) && mask.count > 260_000)
    }

    /// Forced tokens equal the tokenizer's, up to where a token could extend beyond the forced text.
    @Test func forcedTokensAreTheTokenizers() throws {
        let (tokenizer, tree) = (try Self.published.get(), try Self.tree.get())
        let text = "{\"name\": \"Ada\", \"birthday\": \"1815-12-10\"}"
        let schema =
            "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"}, \"birthday\": {\"type\": \"string\", \"format\": \"date\"}}, \"required\": [\"name\", \"birthday\"], \"additionalProperties\": false}"
        var state = GrammarMatcher(try Grammar(schema: try JSONValue(parsing: schema)), tree).start
        var ids = tokenizer.encode(text)[...]
        var (asked, forced) = (0, 0)
        while let id = ids.first {
            let run = state.forcedTokens { tokenizer.encode($0) }
            #expect(Array(ids.prefix(run.count)) == run)
            for token in run.isEmpty ? [id] : run {
                let isTaken = state.advance(token: token)
                #expect(isTaken)
            }
            (asked, forced) = (asked + (run.isEmpty ? 1 : 0), forced + run.count)
            ids = ids.dropFirst(max(1, run.count))
        }
        #expect(state.isAccepting && state.isFinal)
        #expect(forced > 5, "\(asked) asked, \(forced) forced")
    }
}
