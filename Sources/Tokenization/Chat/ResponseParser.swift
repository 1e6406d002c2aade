/// Tells apart what a model writes, token by token: answer, thoughts, calls of tools.
///
/// Works on ids, so that text which merely spells a marker stays text, and nothing has to be held back.
public struct ResponseParser: Sendable {
    public enum Kind: Sendable, Hashable {
        case answer, thought, toolCall
        /// A marker, the name of a channel with the newline that ends it, or anything after the end.
        case control
    }

    private enum State {
        case content, header, thought, call, ended
    }

    /// Consecutive tokens of one state.
    private struct Section {
        let state: State
        /// Text of the token that ended a header, after its newline.
        var prefix = ""
        var ids: [Int] = []
    }

    private let tokenizer: Tokenizer
    private let channelStart, channelEnd, callStart, callEnd, quote: Int?
    private let ends: Set<Int>
    private var state: State
    private var sections: [Section] = []
    private var header: StreamingDecoder
    private var channelName = ""

    /// - Parameter startsInThought: whether the prompt has opened a thought (`RenderedPrompt.opensThought`).
    public init(_ tokenizer: Tokenizer, startsInThought: Bool = false) {
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
    public static func parse(_ ids: [Int], _ tokenizer: Tokenizer, startsInThought: Bool = false) -> Response {
        var parser = ResponseParser(tokenizer, startsInThought: startsInThought)
        for id in ids { _ = parser.append(id) }
        return parser.response
    }

    public mutating func append(_ id: Int) -> Kind {
        if state == .ended { return .control }
        if ends.contains(id) {
            state = .ended
            return .control
        }
        if id == callStart {
            enter(.call)
            return .control
        }
        switch state {
        case .call:
            if id == callEnd {
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

    /// What has been written so far; a call that is not finished gives what there is of it.
    public var response: Response {
        var content = ""
        var thoughts: [String] = []
        var calls: [ChatMessage.ToolCall] = []
        for section in sections {
            switch section.state {
            case .content: content += text(section)
            case .thought:
                var thought = text(section)
                if thought.last == "\n" { thought.removeLast() }
                if !thought.isEmpty { thoughts.append(thought) }
            case .call: calls.append(call(section))
            case .header, .ended: break
            }
        }
        return Response(
            content: content, reasoning: thoughts.isEmpty ? nil : thoughts.joined(separator: "\n"), toolCalls: calls)
    }

    private mutating func enter(_ state: State, prefix: String = "") {
        self.state = state
        sections.append(Section(state: state, prefix: prefix))
    }

    private mutating func keep(_ id: Int, as kind: Kind) -> Kind {
        sections[sections.count - 1].ids.append(id)
        return kind
    }

    /// The name of a channel goes up to the first newline. Only `thought` is one to tell apart.
    private mutating func readHeader(_ id: Int) {
        channelName += header.append(id)
        guard let newline = channelName.unicodeScalars.firstIndex(of: "\n") else { return }
        let name = String(channelName[..<newline]).trimmed
        let rest = String(channelName[channelName.unicodeScalars.index(after: newline)...])
        enter(name == "thought" ? .thought : .content, prefix: rest)
    }

    private func text(_ section: Section) -> String { section.prefix + tokenizer.decode(section.ids) }

    private func call(_ section: Section) -> ChatMessage.ToolCall {
        let segments = section.ids.split(omittingEmptySubsequences: false) { $0 == quote }
        var parser = ToolCallParser(segments.map { tokenizer.decode(Array($0), skipSpecial: false) })
        return parser.call()
    }
}

/// An answer, taken apart.
public struct Response: Sendable, Hashable {
    public let content: String
    /// Nil if the model did not think, or only opened and closed a thought.
    public let reasoning: String?
    /// Their ids are nil: the model writes none.
    public let toolCalls: [ChatMessage.ToolCall]
}
