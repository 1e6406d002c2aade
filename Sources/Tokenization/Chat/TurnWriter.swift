import JSONText

/// Renders the turns after the system turn.
struct TurnWriter {
    /// The end of the last message, which determines how the answer begins.
    enum Ending {
        case content, calls, responses
    }

    let generation: ChatTemplate.Generation
    let messages: [ChatMessage]
    /// Index of the first message after the system turn.
    let first: Int
    let preserveThinking: Bool
    private let lastUser: Int

    init(generation: ChatTemplate.Generation, messages: [ChatMessage], first: Int, preserveThinking: Bool) {
        self.generation = generation
        self.messages = messages
        self.first = first
        self.preserveThinking = preserveThinking
        lastUser = messages[first...].lastIndex { $0.role == .user } ?? first - 1
    }

    func write(to prompt: inout RenderedPrompt) throws(ChatError) -> Ending {
        var ending = Ending.content
        for index in messages.indices.dropFirst(first) {
            if messages[index].role == .tool && generation > .release { continue }
            ending = try writeTurn(index, to: &prompt)
        }
        return ending
    }

    private func writeTurn(_ index: Int, to prompt: inout RenderedPrompt) throws(ChatError) -> Ending {
        let message = messages[index]
        let isModel = message.role == .assistant
        let previous = messages[first..<index].last { $0.role != .tool }
        let next = messages[(index + 1)...].first { $0.role != .tool }

        if generation == .release || !(isModel && previous?.role == .assistant) {
            prompt.control("<|turn>")
            prompt.text((isModel ? "model" : message.role.rawValue) + "\n")
        }
        if let reasoning = message.reasoning, keepsReasoning(index) {
            prompt.control("<|channel>")
            prompt.text("thought\n" + reasoning + "\n")
            prompt.control("<channel|>")
        }
        try writeCalls(index, to: &prompt)
        let hasResponses = try writeResponses(index, to: &prompt)
        var content = RenderedPrompt()
        try writeContent(index, to: &content)
        prompt.append(content)

        var ending: Ending = hasResponses ? .responses : message.toolCalls.isEmpty ? .content : .calls
        if generation < .july && !content.media.isEmpty { ending = .content }

        let continues = isModel && next?.role == .assistant && (message.toolCalls.isEmpty || hasResponses)
        // After responses without content the turn stays open: the model continues it.
        let staysOpen =
            switch generation {
            case .release, .midApril: hasResponses && message.hasNoContent
            case .lateApril: hasResponses && content.pieces.isEmpty
            case .july: hasResponses && content.pieces.isEmpty && next == nil
            }
        if ending == .calls && generation > .release {
            prompt.control("<|tool_response>")  // the caller appends the response
        } else if !(continues && generation == .july) && !staysOpen {
            prompt.endTurn()
        }
        return ending
    }

    private func keepsReasoning(_ index: Int) -> Bool {
        guard let reasoning = messages[index].reasoning, !reasoning.isEmpty else { return false }
        let hasCalls = !messages[index].toolCalls.isEmpty
        return switch generation {
        case .release: false
        case .midApril, .lateApril: index > lastUser && hasCalls
        case .july: index > lastUser || preserveThinking && hasCalls
        }
    }

    // MARK: Calls and responses

    private func writeCalls(_ index: Int, to prompt: inout RenderedPrompt) throws(ChatError) {
        let syntax = ToolValueSyntax(generation)
        for (place, call) in messages[index].toolCalls.enumerated() {
            prompt.control("<|tool_call>")
            prompt.text("call:" + call.name + "{")
            switch call.arguments {
            case .object(let members): syntax.write(members, quotesKeys: false, to: &prompt)
            case .null: break
            case .string(let text) where generation < .july: prompt.text(text)
            default:
                throw ChatError(
                    .invalidValue, message: index, key: "tool_calls[\(place)].function.arguments",
                    expected: "an object",
                    found: call.arguments.summary, remedy: "Send an object, or the text of its JSON.")
            }
            prompt.text("}")
            prompt.control("<tool_call|>")
        }
    }

    /// - Returns: whether there are any.
    private func writeResponses(_ index: Int, to prompt: inout RenderedPrompt) throws(ChatError) -> Bool {
        let message = messages[index]
        if !message.toolResponses.isEmpty {
            for response in message.toolResponses {
                let name = response.name ?? "unknown"
                write(response.response, of: name.isEmpty && generation == .july ? "unknown" : name, to: &prompt)
            }
            return true
        }
        guard generation > .release && !message.toolCalls.isEmpty else { return false }
        let answers = messages.indices[(index + 1)...].prefix { messages[$0].role == .tool }
        for answer in answers { try writeAnswer(answer, to: message.toolCalls, prompt: &prompt) }
        return !answers.isEmpty
    }

    /// Renders a tool message as the response to one of `calls`.
    private func writeAnswer(_ index: Int, to calls: [ChatMessage.ToolCall], prompt: inout RenderedPrompt)
        throws(ChatError)
    {
        let answer = messages[index]
        let name = try nameOfAnswer(index, to: calls)
        switch answer.content {
        case nil: write(.null, of: name, to: &prompt)
        case .value(let value): write(value, of: name, to: &prompt)
        case .text(let text): write(.string(text), of: name, to: &prompt)
        case .parts(let parts):
            let texts = parts.map { if case .text(let text) = $0.kind { text } else { "" } }
            write(.string(texts.joined()), of: name, to: &prompt)
            for (place, part) in parts.enumerated() {
                guard case .medium(let medium, let reference) = part.kind else { continue }
                guard generation == .july else {
                    throw ChatError(
                        .notInThisFormat, message: index, key: "content[\(place)].type", expected: "text",
                        found: part.type,
                        remedy: "This checkpoint's format shows no media of tools; send them in a message of the user.")
                }
                prompt.medium(medium, reference: reference)
            }
        }
    }

    private func nameOfAnswer(_ index: Int, to calls: [ChatMessage.ToolCall]) throws(ChatError) -> String {
        let answer = messages[index]
        if let call = calls.last(where: { $0.id == answer.toolCallId }) { return call.name }
        if generation == .july { return answer.name.flatMap { $0.isEmpty ? nil : $0 } ?? "unknown" }
        guard let name = answer.name else {
            throw ChatError(
                .missingKey, message: index, key: "tool_call_id", expected: "the id of a call",
                found: answer.toolCallId ?? "nothing",
                remedy: "Or give the message a name.")
        }
        return name
    }

    private func write(_ response: JSONValue, of name: String, to prompt: inout RenderedPrompt) {
        let syntax = ToolValueSyntax(generation)
        prompt.control("<|tool_response>")
        prompt.text("response:" + name + "{")
        if case .object(let members) = response {
            syntax.write(members, quotesKeys: false, to: &prompt)
        } else {
            prompt.text("value:")
            syntax.write(response, quotesKeys: false, to: &prompt)
        }
        prompt.text("}")
        prompt.control("<tool_response|>")
    }

    // MARK: Content

    private func writeContent(_ index: Int, to prompt: inout RenderedPrompt) throws(ChatError) {
        let message = messages[index]
        let isModel = message.role == .assistant
        switch message.content {
        case nil, .value: break
        case .text(let text): prompt.text(isModel ? Self.withoutThoughts(text) : text.trimmed)
        case .parts(let parts):
            for (place, part) in parts.enumerated() {
                switch part.kind {
                case .text(let text): prompt.text(isModel ? Self.withoutThoughts(text) : text.trimmed)
                case .medium(let medium, let reference):
                    guard generation == .july || part.type == medium.rawValue else {
                        throw ChatError(
                            .notInThisFormat, message: index, key: "content[\(place)].type", expected: medium.rawValue,
                            found: part.type,
                            remedy: "This checkpoint's format does not know the other spelling.")
                    }
                    let margin = generation == .release && medium != .audio ? "\n\n" : ""
                    prompt.text(margin)
                    prompt.medium(medium, reference: reference)
                    prompt.text(margin)
                }
            }
        }
    }

    /// The assistant's text without thoughts: those of earlier turns are not part of the prompt.
    private static func withoutThoughts(_ text: String) -> String {
        text.pieces(separatedBy: "<channel|>").map { $0.pieces(separatedBy: "<|channel>")[0] }.joined().trimmed
    }
}

extension ChatMessage {
    /// Python's `not message.get('content')`: a string of spaces is content.
    fileprivate var hasNoContent: Bool {
        switch content {
        case nil: true
        case .text(let text): text.isEmpty
        case .parts(let parts): parts.isEmpty
        case .value(let value): !value.isTrue
        }
    }
}
