import JSONText

/// The published chat format, in the generation and model size of a checkpoint's `chat_template.jinja`.
///
/// The template is recognized by its text, not executed: the four existing generations are implemented natively.
///
/// Source: the published templates of April and July 2026, character by character.
package struct ChatTemplate: Sendable, Hashable {
    package enum Generation: Int, Sendable, CaseIterable, Comparable {
        /// 2 April 2026, still in many converted files.
        case release
        case midApril
        /// Late April to June.
        case lateApril
        /// July 2026.
        case july

        /// Its publication date.
        package var name: String {
            switch self {
            case .release: "2 April 2026"
            case .midApril: "mid April 2026"
            case .lateApril: "late April 2026"
            case .july: "July 2026"
            }
        }

        package static func < (left: Generation, right: Generation) -> Bool { left.rawValue < right.rawValue }
    }

    package let generation: Generation
    /// With thinking off, the answer begins after an empty closed thought: the large models were trained so; E2B and
    /// E4B must not see it.
    package let appendsEmptyThought: Bool
    /// False if the template is not a published one, or there is none.
    package let isRecognized: Bool
    /// Whether it resembles the published ones without being one of them, because it was modified. The generation is
    /// then that of the original; for any other text, the newest.
    package let isSimilar: Bool

    package init(_ generation: Generation, appendsEmptyThought: Bool) {
        self.generation = generation
        self.appendsEmptyThought = appendsEmptyThought
        (isRecognized, isSimilar) = (true, false)
    }

    /// - Parameters:
    ///   - source: text of the checkpoint's `chat_template.jinja`; nil if it has none.
    ///   - isLargeModel: 12B and above. Used only without `source`, which otherwise decides whatever the model's size.
    package init(source: String?, isLargeModel: Bool = false) {
        if let source, let format = PublishedTemplate.format(source) {
            self = format
            return
        }
        let macros = ["<|turn>", "strip_thinking", "format_function_declaration"]
        let isSimilar = source.map { source in macros.allSatisfy(source.contains) } ?? false
        appendsEmptyThought = source?.contains(#"<|channel>thought\n<channel|>"#) ?? isLargeModel
        generation =
            switch source {
            case let source? where isSimilar && !source.contains("ns_tool_scan"): .release
            case let source? where isSimilar && !source.contains("captured_content"): .midApril
            case let source? where isSimilar && !source.contains("preserve_thinking"): .lateApril
            default: .july
            }
        (isRecognized, self.isSimilar) = (false, isSimilar)
    }

    /// A message to the user about a template that is not a published one; nil for published ones.
    ///
    /// - Parameter isPresent: whether there is a template at all.
    package func notice(isPresent: Bool) -> String? {
        if isRecognized { return nil }
        let found =
            !isPresent
            ? "no chat template"
            : isSimilar ? "an unknown chat template, made from a published one" : "an unknown chat template"
        return "\(found); the format of \(generation.name) is used"
    }

    /// - Parameters:
    ///   - tools: `{"type": "function", "function": {"name": …, "description": …, "parameters": …}}` each.
    ///   - thinking: whether the model may think before it answers.
    ///   - preserveThinking: keeps the thoughts of earlier turns that called tools. Since July.
    ///   - addGenerationPrompt: whether the prompt opens the assistant's turn.
    ///   - continueFinalMessage: ends the prompt at the end of the last message's text, so that the model continues it.
    /// - Throws: `ChatError` if the template of this generation would fail, or would silently drop a medium.
    package func render(
        _ messages: [ChatMessage], tools: [JSONValue] = [], thinking: Bool = false, preserveThinking: Bool = false,
        addGenerationPrompt: Bool = true, continueFinalMessage: Bool = false
    ) throws(ChatError) -> RenderedPrompt {
        if continueFinalMessage {
            let marked = Array(messages.dropLast()) + messages.suffix(1).map { $0.marked(Self.endMark) }
            var prompt = try render(
                marked, tools: tools, thinking: thinking, preserveThinking: preserveThinking,
                addGenerationPrompt: false)
            guard prompt.cut(at: Self.endMark) else {
                throw ChatError(
                    .nothingToContinue, message: messages.isEmpty ? nil : messages.count - 1, key: "content",
                    expected: "text to continue", found: "none that the chat format shows",
                    remedy: "Leave out --continue-final-message, or give the last message a text.")
            }
            return prompt
        }
        var prompt = RenderedPrompt()
        prompt.control("<bos>")
        let opensWithSystem = messages.first.map { $0.role == .system || $0.role == .developer } ?? false
        if thinking || !tools.isEmpty || opensWithSystem {
            prompt.control("<|turn>")
            prompt.text("system\n")
            if thinking {
                prompt.control("<|think|>")
                if generation > .release { prompt.text("\n") }
            }
            if opensWithSystem { prompt.text(try systemText(messages[0].content)) }
            for (index, tool) in tools.enumerated() {
                prompt.control("<|tool>")
                try ToolDeclaration(generation, tool: index).write(tool, to: &prompt)
                prompt.control("<tool|>")
            }
            prompt.endTurn()
        }

        let turns = TurnWriter(
            generation: generation, messages: messages, first: opensWithSystem ? 1 : 0,
            preserveThinking: preserveThinking)
        let ending = try turns.write(to: &prompt)
        if addGenerationPrompt {
            open(&prompt, after: ending, thinking: thinking)
            prompt.allowsThought = thinking
        }
        return prompt
    }

    /// Appended to the text to be continued, so that its end can be found in the rendered prompt: a private-use scalar,
    /// which is not trimmed like white space.
    ///
    /// Source: transformers 5.23, `chat_template_utils.py`, `continue_final_message_tag`.
    private static let endMark: Unicode.Scalar = "\u{10FFFD}"

    private func open(_ prompt: inout RenderedPrompt, after ending: TurnWriter.Ending, thinking: Bool) {
        switch ending {
        case .responses:
            // The model continues its open turn. The July template opens a thought for it; the release closes one.
            if thinking && generation == .july {
                prompt.control("<|channel>")
                prompt.text("thought\n")
                prompt.opensThought = true
            } else if generation == .release {
                closeEmptyThought(&prompt, thinking: thinking)
            }
        case .calls where generation > .release:
            return
        case .calls, .content:
            prompt.control("<|turn>")
            prompt.text("model\n")
            closeEmptyThought(&prompt, thinking: thinking)
        }
    }

    private func closeEmptyThought(_ prompt: inout RenderedPrompt, thinking: Bool) {
        guard appendsEmptyThought && !thinking else { return }
        prompt.control("<|channel>")
        prompt.text("thought\n")
        prompt.control("<channel|>")
    }

    private func systemText(_ content: ChatMessage.Content?) throws(ChatError) -> String {
        switch content {
        case nil: return ""
        case .text(let text): return text.trimmed
        case .value(let value): return generation < .lateApril ? value.pythonText : ""
        case .parts(let parts):
            var text = ""
            for (index, part) in parts.enumerated() {
                guard case .text(let partText) = part.kind else {
                    throw ChatError(
                        .notInThisFormat, message: 0, key: "content[\(index)].type", expected: "text", found: part.type,
                        remedy: "The first system message cannot hold a medium; move it to a message of the user.")
                }
                text += partText.trimmed + " "
            }
            // Older templates print the list itself, in Python's notation.
            return generation < .lateApril ? JSONValue.array(parts.map(\.json)).pythonText : text
        }
    }
}
