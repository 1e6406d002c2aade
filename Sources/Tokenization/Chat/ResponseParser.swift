/// Splits a model's output, token by token, into answer, thoughts and tool calls.
///
/// Works on ids: text that merely spells a marker stays text, and nothing needs to be held back.
package struct ResponseParser: Sendable {
    package typealias Kind = TokenKind

    private enum State {
        case content, header, thought, call, ended
    }

    /// Consecutive tokens of one state.
    private struct Section {
        let state: State
        /// Text after the newline in the token that ended a header.
        var prefix = ""
        var ids: [Int] = []
        /// For a call: whether a marker ended it.
        var isEnded = false
    }

    private let tokenizer: Tokenizer
    private let channelStart, channelEnd, callStart, callEnd, quote: Int?
    private let ends: Set<Int>
    private var state: State
    private var sections: [Section] = []
    /// Whether the current call is inside a string.
    private var isInQuotes = false
    private var header: StreamingDecoder
    private var channelName = ""

    /// - Parameter startsInThought: whether the prompt has opened a thought (`RenderedPrompt.opensThought`).
    package init(_ tokenizer: Tokenizer, startsInThought: Bool = false) {
        self.tokenizer = tokenizer
        let special = tokenizer.specialTokens
        channelStart = special["<|channel>"]
        channelEnd = special["<channel|>"]
        callStart = special["<|tool_call>"]
        callEnd = special["<tool_call|>"]
        quote = special["<|\"|>"]
        ends = Set(["<eos>", "<turn|>", "<|tool_response>"].compactMap { special[$0] })
        header = StreamingDecoder(tokenizer)
        state = startsInThought ? .thought : .content
        enter(state)
    }

    /// - Parameter ids: a whole answer.
    package static func parse(_ ids: [Int], _ tokenizer: Tokenizer, startsInThought: Bool = false) -> Response {
        var parser = ResponseParser(tokenizer, startsInThought: startsInThought)
        for id in ids { _ = parser.append(id) }
        return parser.response
    }

    /// Whether the next token belongs to a thought, unless it ends the thought.
    package var isInThought: Bool { state == .thought }

    package mutating func append(_ id: Int) -> Kind {
        if state == .ended { return .control }
        if ends.contains(id) {
            state = .ended
            return .control
        }
        // Markers inside a quoted string of a call belong to the string.
        if state == .call, isInQuotes { return keep(id, as: .toolCall) }
        if id == callStart {
            enter(.call)
            return .control
        }
        switch state {
        case .call:
            if id == callEnd {
                sections[sections.count - 1].isEnded = true
                enter(.content)
                return .control
            }
            return keep(id, as: .toolCall)
        case .header:
            if id == channelEnd { enter(.content) } else if id != channelStart { readHeader(id) }
            return .control
        case .thought:
            if id == channelEnd {
                enter(.content)
                return .control
            }
            return tokenizer.specialTokens.contains(id) ? .control : keep(id, as: .thought)
        case .content, .ended:
            if id == channelStart {
                state = .header
                channelName = ""
                header = StreamingDecoder(tokenizer)
                return .control
            }
            return tokenizer.specialTokens.contains(id) ? .control : keep(id, as: .answer)
        }
    }

    /// The output so far. A call that is incomplete, for example at the token limit, is no call: `cutToolCall` is its
    /// text.
    package var response: Response {
        var content = ""
        var thoughts: [String] = []
        var calls: [ChatMessage.ToolCall] = []
        var cutCall: String?
        for section in sections {
            switch section.state {
            case .content: content += text(section)
            case .thought:
                var thought = text(section)
                if thought.last == "\n" { thought.removeLast() }
                if !thought.isEmpty { thoughts.append(thought) }
            case .call:
                let (found, cut) = self.calls(section)
                calls += found
                if let cut {
                    cutCall = cut
                } else if found.isEmpty, !section.ids.isEmpty {
                    cutCall = tokenizer.decode(section.ids, skipSpecial: false)
                }
            case .header, .ended: break
            }
        }
        return Response(
            content: content, reasoning: thoughts.isEmpty ? nil : thoughts.joined(separator: "\n"), toolCalls: calls,
            cutToolCall: cutCall)
    }

    private mutating func enter(_ state: State, prefix: String = "") {
        self.state = state
        isInQuotes = false
        sections.append(Section(state: state, prefix: prefix))
    }

    private mutating func keep(_ id: Int, as kind: Kind) -> Kind {
        if id == quote { isInQuotes.toggle() }
        sections[sections.count - 1].ids.append(id)
        return kind
    }

    /// The name of a channel ends at the first newline. Only `thought` is treated specially.
    private mutating func readHeader(_ id: Int) {
        channelName += header.append(id)
        guard let newline = channelName.unicodeScalars.firstIndex(of: "\n") else { return }
        let name = String(channelName[..<newline]).trimmed
        let rest = String(channelName[channelName.unicodeScalars.index(after: newline)...])
        enter(name == "thought" ? .thought : .content, prefix: rest)
    }

    private func text(_ section: Section) -> String { section.prefix + tokenizer.decode(section.ids) }

    private func calls(_ section: Section) -> (calls: [ChatMessage.ToolCall], cut: String?) {
        var ids = section.ids
        // An unclosed string contains the end marker; if the marker came last, it ended the call.
        let isEnded = section.isEnded || ids.last == callEnd
        if !section.isEnded, isEnded { ids.removeLast() }
        if ids.isEmpty, !isEnded { return ([], nil) }
        let segments = ids.split(omittingEmptySubsequences: false) { $0 == quote }
        var parser = ToolCallParser(segments.map { tokenizer.decode(Array($0), skipSpecial: false) })
        return parser.calls(isCut: !isEnded)
    }
}

/// The parts of an answer.
package struct Response: Sendable, Hashable {
    package let content: String
    /// Nil if there is no thought, or an empty one.
    package let reasoning: String?
    /// Their ids are nil: the model generates none.
    package let toolCalls: [ChatMessage.ToolCall]
    /// The text of a call without its end; nil if there is none. It must not be executed: arguments may be missing.
    package let cutToolCall: String?

    init(content: String, reasoning: String?, toolCalls: [ChatMessage.ToolCall], cutToolCall: String? = nil) {
        (self.content, self.reasoning, self.toolCalls) = (content, reasoning, toolCalls)
        self.cutToolCall = cutToolCall
    }
}

/// The part of the output that a token's text belongs to.
public enum TokenKind: Sendable, Hashable {
    case answer, thought, toolCall
    /// A marker, the name of a channel with the newline that ends it, or anything after the end.
    case control
}
