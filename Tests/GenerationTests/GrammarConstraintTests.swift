import Grammar
import Testing
import Tokenization

@testable import Generation

/// Thoughts before an answer that obeys, and where it may end.
struct GrammarConstraintTests {
    private static let tree = TokenTree(count: 300) { id, buffer in
        if id < 256 { buffer.append(UInt8(id)) }
    }
    private let stop = 256

    private func constraint(_ expression: String) throws -> GrammarConstraint {
        GrammarConstraint(
            GrammarMatcher(try Grammar(regularExpression: expression), Self.tree), Prompt(tokens: [1]),
            stopTokens: [stop],
            thought: nil)
    }

    private func ids(_ mask: TokenMask?) -> [Int] { (0..<300).filter { mask?.contains($0) ?? true } }

    @Test func endsWhereTheGrammarMayEnd() throws {
        var constraint = try constraint("ab?")
        #expect(ids(constraint.allowed()) == [97])
        constraint.accept(97)
        #expect(ids(constraint.allowed()) == [98, stop] && !constraint.isComplete)
        constraint.accept(98)
        #expect(ids(constraint.allowed()) == [stop] && constraint.isComplete)
    }

    @Test func aThoughtIsFreeAndCannotEndTheAnswer() throws {
        let (open, close) = (270, 271)
        let matcher = GrammarMatcher(try Grammar(choices: ["a"]), Self.tree)
        var constraint = GrammarConstraint(
            matcher, Prompt(text: "", tokens: [1], media: [], opensThought: false, allowsThought: true),
            stopTokens: [stop], thought: (open, close))
        #expect(ids(constraint.allowed()) == [97, open])
        constraint.accept(open)
        #expect(ids(constraint.allowed()) == (0..<300).filter { $0 != stop })
        #expect(constraint.accepts(98) && constraint.forced { _ in [] }.isEmpty)
        constraint.accept(98)
        constraint.accept(close)
        #expect(ids(constraint.allowed()) == [97] && !constraint.accepts(98))
        let inThought = GrammarConstraint(
            matcher, Prompt(text: "", tokens: [1], media: [], opensThought: true), stopTokens: [stop],
            thought: (open, close))
        #expect(inThought.accepts(98) && ids(inThought.allowed()).contains(close))
        let withoutThinking = GrammarConstraint(
            matcher, Prompt(tokens: [1]), stopTokens: [stop], thought: (open, close))
        #expect(ids(withoutThinking.allowed()) == [97])
    }
}

/// A call that is begun goes to a tool that exists, with arguments of its schema; before and after it everything is free.
struct ToolCallConstraintTests {
    private static let (callStart, quote, callEnd) = (280, 281, 282)
    private static let tree = TokenTree(count: 300) { id, buffer in
        switch id {
        case ..<254: buffer.append(UInt8(id))
        case quote: buffer.append(ControlByte.quote)
        case callEnd: buffer.append(ControlByte.callEnd)
        default: break
        }
    }

    @Test func onlyCallsAreHeldToTheirTools() throws {
        let grammar = try Grammar(calling: [
            ("add", ["type": "object", "properties": ["n": ["enum": [1, "x"]]], "required": ["n"]]),
            ("all", ["type": "object"]),
        ])
        var constraint = ToolCallConstraint(GrammarMatcher(grammar, Self.tree), callStart: Self.callStart)
        #expect(constraint.isFree && constraint.allowed() == nil && constraint.accepts(65))
        constraint.accept(65)
        constraint.accept(Self.callStart)
        #expect(!constraint.isFree)
        #expect(constraint.forced { Array($0.utf8).map(Int.init) } == Array("call:a".utf8).map(Int.init))
        func take(_ text: String) {
            for byte in text.utf8 {
                let token = byte == UInt8(ascii: "\"") ? Self.quote : Int(byte)
                #expect(constraint.accepts(token) && constraint.allowed()?.contains(token) == true)
                constraint.accept(token)
            }
        }
        take("call:add")
        #expect(constraint.forced { Array($0.utf8).map(Int.init) } == Array("{n:".utf8).map(Int.init))
        take("{n:")
        #expect((0..<300).filter { constraint.allowed()!.contains($0) } == [Int(UInt8(ascii: "1")), Self.quote])
        take("\"x")
        #expect(
            constraint.forced { Array($0.utf8).map(Int.init) } == [Self.quote, Int(UInt8(ascii: "}")), Self.callEnd])
        take("\"}")
        constraint.accept(Self.callEnd)
        #expect(constraint.isFree && !constraint.isComplete)
    }
}
