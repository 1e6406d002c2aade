import Grammar
import Testing
import Tokenization

@testable import Generation

/// Thoughts before a constrained answer, and where the answer may end.
struct GrammarConstraintTests {
    private static let tree = TokenTree(count: 300) { id, buffer in
        if id < 256 { buffer.append(UInt8(id)) }
    }
    private let stop = 256

    private func constraint(_ expression: String) throws -> GrammarConstraint {
        GrammarConstraint(
            GrammarMatcher(try Grammar(regularExpression: expression), Self.tree), Prompt(tokens: [1]),
            AnswerMarkers(stopTokens: [stop], thought: nil))
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
            AnswerMarkers(stopTokens: [stop], thought: (open, close)))
        #expect(ids(constraint.allowed()) == [97, open])
        constraint.accept(open)
        #expect(ids(constraint.allowed()) == (0..<300).filter { $0 != stop })
        #expect(constraint.accepts(98) && constraint.forced { _ in [] }.isEmpty)
        constraint.accept(98)
        constraint.accept(close)
        #expect(ids(constraint.allowed()) == [97] && !constraint.accepts(98))
        let inThought = GrammarConstraint(
            matcher, Prompt(text: "", tokens: [1], media: [], opensThought: true),
            AnswerMarkers(stopTokens: [stop], thought: (open, close)))
        #expect(inThought.accepts(98) && ids(inThought.allowed()).contains(close))
        let withoutThinking = GrammarConstraint(
            matcher, Prompt(tokens: [1]), AnswerMarkers(stopTokens: [stop], thought: (open, close)))
        #expect(ids(withoutThinking.allowed()) == [97])
    }
}

/// A call goes to an existing tool, with arguments valid for its schema; what may precede and follow it depends on the
/// choice.
struct ToolCallConstraintTests {
    private static let (stop, open, close) = (270, 271, 272)
    private static let (callStart, quote, callEnd) = (280, 281, 282)
    private static let tree = TokenTree(count: 300) { id, buffer in
        switch id {
        case ..<254: buffer.append(UInt8(id))
        case quote: buffer.append(ControlByte.quote)
        case callEnd: buffer.append(ControlByte.callEnd)
        default: break
        }
    }
    private static let markers = AnswerMarkers(stopTokens: [stop], thought: (open, close))

    private func constraint(
        thought: (opens: Bool, allows: Bool) = (false, false), mustCall: Bool = false, allowsSeveral: Bool = true
    ) throws -> ToolCallConstraint {
        let grammar = try Grammar(calling: [
            ("add", ["type": "object", "properties": ["n": ["enum": [1, "x"]]], "required": ["n"]]),
            ("all", ["type": "object"]),
        ])
        return ToolCallConstraint(
            GrammarMatcher(grammar, Self.tree),
            Prompt(text: "", tokens: [1], media: [], opensThought: thought.opens, allowsThought: thought.allows),
            Self.markers, callStart: Self.callStart, mustCall: mustCall, allowsSeveral: allowsSeveral)
    }

    private func ids(_ mask: TokenMask?) -> [Int] { (0..<300).filter { mask?.contains($0) ?? true } }

    private func forced(_ constraint: some TokenConstraint) -> [Int] {
        constraint.forced { Array($0.utf8).map(Int.init) }
    }

    /// Takes the text of a call, `"` for the quote token, `!` for the end of the call.
    private func take(_ text: String, _ constraint: inout some TokenConstraint) {
        for byte in text.utf8 {
            let token =
                switch byte {
                case UInt8(ascii: "\""): Self.quote
                case UInt8(ascii: "!"): Self.callEnd
                default: Int(byte)
                }
            #expect(constraint.accepts(token) && constraint.allowed()?.contains(token) == true)
            constraint.accept(token)
        }
    }

    @Test func onlyCallsAreHeldToTheirTools() throws {
        var constraint = try constraint()
        #expect(constraint.isFree && constraint.allowed() == nil && constraint.accepts(65))
        constraint.accept(65)
        constraint.accept(Self.callStart)
        #expect(!constraint.isFree)
        #expect(forced(constraint) == Array("call:a".utf8).map(Int.init))
        take("call:add", &constraint)
        #expect(forced(constraint) == Array("{n:".utf8).map(Int.init))
        take("{n:", &constraint)
        #expect(ids(constraint.allowed()) == [Int(UInt8(ascii: "1")), Self.quote])
        take("\"x", &constraint)
        #expect(forced(constraint) == [Self.quote, Int(UInt8(ascii: "}")), Self.callEnd])
        take("\"}!", &constraint)
        #expect(constraint.isFree && !constraint.isComplete)
    }

    @Test func aCallThatMustComeMayFollowAThought() throws {
        var atOnce = try constraint(mustCall: true)
        #expect(ids(atOnce.allowed()) == [Self.callStart] && !atOnce.isFree)
        #expect(forced(atOnce) == [Self.callStart] + Array("call:a".utf8).map(Int.init))
        atOnce.accept(Self.callStart)
        take("call:all{}!", &atOnce)
        #expect(atOnce.isFree, "more calls, or the end, as the model likes")

        var thinking = try constraint(thought: (false, true), mustCall: true)
        #expect(ids(thinking.allowed()) == [Self.open, Self.callStart] && forced(thinking).isEmpty)
        thinking.accept(Self.open)
        #expect(ids(thinking.allowed()) == (0..<300).filter { $0 != Self.stop })
        thinking.accept(65)
        thinking.accept(Self.close)
        #expect(ids(thinking.allowed()) == [Self.callStart], "a second thought would put the call off")

        let inThought = try constraint(thought: (true, true), mustCall: true)
        #expect(ids(inThought.allowed()) == (0..<300).filter { $0 != Self.stop })
    }

    @Test(arguments: [false, true])
    func theAnswerEndsWithASingleCall(mustCall: Bool) throws {
        var constraint = try constraint(mustCall: mustCall, allowsSeveral: false)
        #expect(!constraint.isComplete)
        constraint.accept(Self.callStart)
        take("call:all{}", &constraint)
        #expect(!constraint.isComplete)
        take("!", &constraint)
        #expect(constraint.isComplete && ids(constraint.allowed()) == [Self.stop])
    }

    /// An answer in a format, or calls: never something of both.
    @Test func callsMayStandInPlaceOfAFormat() throws {
        func both() throws -> GrammarConstraint {
            GrammarConstraint(
                GrammarMatcher(try Grammar(choices: ["yes"]), Self.tree), Prompt(tokens: [1]), Self.markers,
                calls: try constraint())
        }
        var answer = try both()
        #expect(ids(answer.allowed()) == [Int(UInt8(ascii: "y")), Self.callStart] && forced(answer).isEmpty)
        answer.accept(Int(UInt8(ascii: "y")))
        #expect(ids(answer.allowed()) == [Int(UInt8(ascii: "e"))] && !answer.accepts(Self.callStart + 1))
        #expect(forced(answer) == Array("es".utf8).map(Int.init))

        var call = try both()
        #expect(call.accepts(Self.callStart))
        call.accept(Self.callStart)
        #expect(forced(call) == Array("call:a".utf8).map(Int.init))
        take("call:all{}!", &call)
        #expect(ids(call.allowed()) == [Self.stop, Self.callStart] && !call.isComplete)
    }
}
