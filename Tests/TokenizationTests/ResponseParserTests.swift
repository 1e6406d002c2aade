import Foundation
import JSONText
import Testing

@testable import Tokenization

@Suite struct ResponseParserTests {
    private typealias Call = ChatMessage.ToolCall

    private func parse(_ answer: String, startsInThought: Bool = false) throws -> Response {
        let tokenizer = try Tokenizer.chat()
        return ResponseParser.parse(
            tokenizer.encode(answer, parseSpecial: true), tokenizer, startsInThought: startsInThought)
    }

    @Test(
        arguments: [
            ("Hi", "Hi", nil),
            ("Hi<turn|>more", "Hi", nil),
            ("Hi<eos>", "Hi", nil),
            ("<|channel>thought\nwhy\n<channel|>Hi<turn|>", "Hi", "why"),
            ("<|channel>thought\n\nwhy\n\n<channel|>\n\nHi<turn|>", "\n\nHi", "\nwhy\n"),
            ("<|channel>thought\n<channel|>Hi<|channel>thought\n<channel|><turn|>", "Hi", nil),
            ("<|channel>thought\na<channel|>b<|channel>thought\nc<channel|>d", "bd", "a\nc"),
            ("<|channel>final\nHi<channel|> there", "Hi there", nil),
            ("<|channel><channel|>Hi", "Hi", nil),
            ("<|channel><|channel>thought\nx<channel|>Hi", "Hi", "x"),
            ("Hi<channel|> there", "Hi there", nil),
            ("<|channel>thought\nnever closed", "", "never closed"),
            ("<|channel>thought\nnever closed<turn|>", "", "never closed"),
            ("<|channel>thou", "", nil),
            ("<|image|>東京<|turn>👩‍👩‍👧", "東京👩‍👩‍👧", nil),
            ("", "", nil),
        ] as [(String, String, String?)])
    func separatesThoughtFromAnswer(answer: String, content: String, reasoning: String?) throws {
        #expect(try parse(answer) == Response(content: content, reasoning: reasoning, toolCalls: []))
    }

    @Test func beginsInsideTheThoughtThatThePromptOpened() throws {
        #expect(
            try parse("why\n<channel|>Hi", startsInThought: true)
                == Response(content: "Hi", reasoning: "why", toolCalls: []))
    }

    @Test(
        arguments: [
            ("call:f{}", "f", [:]),
            ("call:f", "f", [:]),
            ("call:f{", "f", [:]),
            ("call:ns.look-up:x{a:1}", "ns.look-up:x", ["a": 1]),
            ("f{a:1}", "f", ["a": 1]),
            (#"call:f{city:<|"|>Rome<|"|>,days:2}"#, "f", ["city": "Rome", "days": 2]),
            (
                #"call:f{a: <|"|>x<|"|> , b : [1, 2.5, -3e-05,true,false,null]}"#, "f",
                ["a": "x", "b": [1, 2.5, -3e-05, true, false, nil]]
            ),
            (#"call:f{a:<|"|>{b:1},[c]:"d"\#n<|"|>,e:1}"#, "f", ["a": "{b:1},[c]:\"d\"\n", "e": 1]),
            (#"call:f{<|"|>a<|"|>:{b:{c:[]}},d:[{},[]]}"#, "f", ["a": ["b": ["c": []]], "d": [[:], []]]),
            ("call:f{a:two words,b:12:30,c:1.5.2,d:}", "f", ["a": "two words", "b": "12:30", "c": "1.5.2", "d": ""]),
            (
                "call:f{a:-123456789012345678901234567890}", "f",
                ["a": .largeInteger("-123456789012345678901234567890")]
            ),
            (#"call:f{a:<|"|>not closed"#, "f", ["a": "not closed"]),
            ("call:f{a:[1,{b:2", "f", ["a": [1, ["b": 2]]]),
            ("call:f{x:{a:[1},b:2}", "f", ["x": ["a": [1]], "b": 2]),
            (#"call:f{a:<|"|>x<|"|>junk,b:1}"#, "f", ["a": "x", "b": 1]),
            (#"call:find{q:"a,b:c"}"#, "find", ["q": "a,b:c"]),
            (#"call:find{q:"say \"so\"",note:<|"|>as "is"<|"|>}"#, "find", ["q": #"say "so""#, "note": #"as "is""#]),
            (#"call:f{"two words":2,"a:b" : ["x,]","é\u00e9\n"]}"#, "f", ["two words": 2, "a:b": ["x,]", "éé\n"]]),
            (#"call:f{a:"x" and "y",b:"}"#, "f", ["a": #""x" and "y""#, "b": "\""]),
            ("call:f{a:\"two\nlines\"}", "f", ["a": "two\nlines"]),
            ("call:f{id:18446744073709551615}", "f", ["id": .largeInteger("18446744073709551615")]),
            (
                #"call:echo{text:<|"|>write <|tool_call>call:f{}<tool_call|> here<|"|>}"#, "echo",
                ["text": "write <|tool_call>call:f{}<tool_call|> here"]
            ),
            ("call:f{a:1,a:2}", "f", ["a": 2]),
            ("call:f{a:1,}", "f", ["a": 1]),
            ("call:f{nothing", "f", [:]),
        ] as [(String, String, JSONValue)])
    func readsCalls(text: String, name: String, arguments: JSONValue) throws {
        let response = try parse("<|tool_call>\(text)<tool_call|><|tool_response>")
        #expect(response == Response(content: "", reasoning: nil, toolCalls: [Call(name: name, arguments: arguments)]))
        // A stop without the closing marker gives the same if the braces are closed; otherwise arguments may be
        // missing.
        let stopped = try parse("<|tool_call>\(text)<eos>")
        #expect(text.hasSuffix("}") ? stopped == response : stopped.toolCalls.isEmpty && stopped.cutToolCall == text)
    }

    @Test func readsSeveralCallsOfOneBlock() throws {
        let calls = [Call(name: "a", arguments: ["x": 1]), Call(name: "b", arguments: ["y": 2])]
        for between in ["", " ", ",", "\n"] {
            #expect(try parse("<|tool_call>call:a{x:1}\(between)call:b{y:2}<tool_call|>").toolCalls == calls)
        }
        // Of two the whole one counts, and the other is reported, wherever it is cut.
        for cut in ["call:b{y:2", #"call:b{y:<|"|>/srv"#, #"call:b{y:<|"|>/srv<|"|>"#, "call:b", "ca"] {
            for between in ["", " ", ",", "\n"] {
                #expect(
                    try parse("<|tool_call>call:a{x:1}\(between)\(cut)")
                        == Response(content: "", reasoning: nil, toolCalls: [calls[0]], cutToolCall: cut))
            }
        }
        #expect(try parse("<|tool_call>call:a{x:1}call:b{y:2}<eos>").cutToolCall == nil)
    }

    /// A truncated call is no call, wherever it is cut: its arguments may be incomplete.
    @Test func aCallThatIsCutIsNone() throws {
        #expect(try parse("Well<|tool_call>") == Response(content: "Well", reasoning: nil, toolCalls: []))
        #expect(try parse("<|tool_call><tool_call|>").toolCalls.isEmpty)
        let tokenizer = try Tokenizer.chat()
        let whole = #"call:remove{path:<|"|>/srv/data<|"|>,force:"yes",in:[{a:1}]}"#
        let ids = tokenizer.encode("<|tool_call>\(whole)", parseSpecial: true)
        for count in 2..<ids.count {
            let response = ResponseParser.parse(Array(ids.prefix(count)), tokenizer)
            #expect(response.toolCalls.isEmpty && response.cutToolCall?.isEmpty == false, "\(count) tokens")
        }
        #expect(ResponseParser.parse(ids, tokenizer).toolCalls.map(\.name) == ["remove"])
    }

    @Test func readsSeveralCallsAndTheThoughtBefore() throws {
        let response = try parse(
            "<|channel>thought\nneed both<|tool_call>call:f{a:1}<tool_call|><|tool_call>call:g{}<tool_call|>and<|tool_response>"
        )
        #expect(
            response
                == Response(
                    content: "and", reasoning: "need both",
                    toolCalls: [Call(name: "f", arguments: ["a": 1]), Call(name: "g", arguments: [:])]))
    }

    @Test func survivesDeepNesting() throws {
        let response = try parse("<|tool_call>call:f{a:" + String(repeating: "[", count: 10_000) + "<tool_call|>")
        #expect(response.toolCalls.count == 1)
    }

    @Test func tellsTheKindOfEveryToken() throws {
        let tokenizer = try Tokenizer.chat()
        let ids = tokenizer.encode(
            "<|channel>thought\na<channel|>b<|tool_call>f{<tool_call|><turn|>c", parseSpecial: true)
        var parser = ResponseParser(tokenizer)
        let kinds = ids.map { parser.append($0) }
        let control = Array(repeating: ResponseParser.Kind.control, count: 1 + "thought\n".count)
        #expect(
            kinds == control + [
                .thought, .control, .answer, .control, .toolCall, .toolCall, .control, .control, .control,
            ])
    }

    /// A call rendered in a prompt parses to the same call. Keys are words here: a colon in a bare key is ambiguous.
    @Test func readsBackWhatThePromptWrites() throws {
        var random = SplitMix(state: 7)
        for _ in 0..<2_000 {
            let arguments = JSONValue.object(
                (0..<Int.random(in: 0...4, using: &random)).map { .init("k\($0)", randomValue(depth: 1, &random)) })
            var prompt = RenderedPrompt()
            prompt.text("call:f")
            ToolValueSyntax(.july).write(arguments, quotesKeys: false, to: &prompt)
            var parser = ToolCallParser(prompt.text.components(separatedBy: "<|\"|>"))
            #expect(parser.call() == Call(name: "f", arguments: arguments), "\(prompt.text)")
        }
    }

    private func randomValue(depth: Int, _ random: inout SplitMix) -> JSONValue {
        switch Int.random(in: 0..<(depth < 4 ? 7 : 5), using: &random) {
        case 0: return [nil, true, false].randomElement(using: &random) ?? nil
        case 1: return .integer(Int.random(in: .min ... .max, using: &random))
        case 2:
            return .number(
                Double.random(in: -1...1, using: &random)
                    * [1e-12, 1, 1e9, 1e30][Int.random(in: 0..<4, using: &random)])
        case 3, 4:
            let words = [
                "a", " ", "{", "}", "[", "]", ",", ":", "\n", "\"", "\",", "call:", "true", "12", "é", "👩‍👩‍👧", "<|turn>",
                "\\",
            ]
            return .string(
                (0..<Int.random(in: 0...5, using: &random)).map { _ in words.randomElement(using: &random) ?? "" }
                    .joined())
        case 5:
            return .array(
                (0..<Int.random(in: 0...3, using: &random)).map { _ in randomValue(depth: depth + 1, &random) })
        default:
            return .object(
                (0..<Int.random(in: 0...3, using: &random)).map {
                    .init("k\($0)", randomValue(depth: depth + 1, &random))
                })
        }
    }
}

/// A seeded generator, for reproducible failures (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
/// 2014).
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }
}
