import Dispatch
import Grammar
import JSONText
import Synchronization
import Tokenization

/// The format that an answer is constrained to. The answer is valid unless it is cut off (finish reason `length` or
/// `repetition`). Thoughts precede it and are unconstrained.
public enum AnswerFormat: Sendable, Hashable {
    /// JSON that is valid under a JSON Schema (2020-12): one line, members in the order of the schema, `format`
    /// asserted.
    case schema(JSONValue)
    /// A text derived from the rule `root` of a grammar in GBNF, the notation of llama.cpp.
    case grammar(String)
    /// A text that matches a regular expression (ECMA-262) as a whole.
    case regularExpression(String)
    /// One of these texts.
    case choices([String])

    /// Checks that it can be enforced.
    ///
    /// - Parameter name: the name in error messages, for example a file.
    /// - Throws: an error with a diagnosis that locates what cannot be enforced.
    public func check(named name: String? = nil) throws {
        do throws(GrammarError) { _ = try compiled() } catch {
            var error = error
            error.subject = name ?? error.subject
            throw error
        }
    }

    func compiled() throws(GrammarError) -> Grammar {
        switch self {
        case .schema(let schema): try Grammar(schema: schema)
        case .grammar(let text): try Grammar(gbnf: text)
        case .regularExpression(let text): try Grammar(regularExpression: text)
        case .choices(let texts): try Grammar(choices: texts)
        }
    }
}

/// The grammars that constrain one answer.
struct AnswerGrammars: Sendable {
    /// The grammar of its text.
    var format: GrammarMatcher?
    /// The grammar of one tool call.
    var call: GrammarMatcher?
}

/// The compiled grammars of an engine's answers, and the vocabulary as a trie, built on first use.
final class GrammarCache: Sendable {
    /// The source of a grammar.
    enum Source: Hashable {
        case format(AnswerFormat)
        /// Tool declarations: the grammar of one call.
        case tools([JSONValue])
    }

    private let tokenizer: Tokenizer?
    private let notice: @Sendable (String) -> Void
    private let queue = DispatchQueue(label: "gemma4.grammar")
    private let state = Mutex(State())

    private struct State {
        var tree: TokenTree?
        var matchers: [Source: GrammarMatcher] = [:]
    }

    /// Maximum grammars kept; beyond it all are dropped.
    private static let limit = 16

    /// - Parameter notice: called for tools whose arguments cannot be constrained to their schema.
    init(_ tokenizer: Tokenizer?, notice: @escaping @Sendable (String) -> Void) {
        (self.tokenizer, self.notice) = (tokenizer, notice)
    }

    /// The grammars for the answer to a prompt.
    ///
    /// - Throws: `GrammarError`.
    func grammars(_ options: GenerationOptions, _ prompt: Prompt) async throws -> AnswerGrammars {
        let choice = options.toolChoice
        let tools = try Self.tools(choice, prompt)
        var grammars = AnswerGrammars()
        if !choice.mustCall, let format = options.format { grammars.format = try await matcher(.format(format)) }
        if !tools.isEmpty, options.constrainsToolCalls || choice.mustCall || !options.parallelToolCalls {
            grammars.call = try await matcher(.tools(tools))
        }
        return grammars
    }

    /// The declarations of the tools that may be called.
    private static func tools(_ choice: ToolChoice, _ prompt: Prompt) throws(GrammarError) -> [JSONValue] {
        func name(_ tool: JSONValue) -> String? { tool["function"]?["name"]?.string }
        let tools =
            switch choice {
            case .none: [JSONValue]()
            case .auto, .required: prompt.tools
            case .named(let wanted): prompt.tools.filter { name($0) == wanted }
            }
        guard tools.isEmpty, choice.mustCall else { return tools }
        let names = prompt.tools.compactMap(name).joined(separator: ", ")
        var wanted = "required"
        if case .named(let name) = choice { wanted = name }
        throw GrammarError(
            .unsatisfiable, "tool choice", place: wanted,
            expected: names.isEmpty ? "tools to choose from" : "one of the tools \(names)", found: "no such tool",
            remedy: names.isEmpty ? "Declare tools in the prompt." : nil)
    }

    /// Compiles a grammar on a thread that may block.
    ///
    /// - Throws: `GrammarError`.
    private func matcher(_ source: Source) async throws -> GrammarMatcher {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try self.make(source) }) }
        }
    }

    private func make(_ source: Source) throws -> GrammarMatcher {
        if let known = state.withLock({ $0.matchers[source] }) { return known }
        let grammar =
            switch source {
            case .format(let format): try format.compiled()
            case .tools(let tools): try grammar(calling: tools)
            }
        let tree =
            state.withLock { $0.tree }
            ?? TokenTree(count: tokenizer?.vocabularySize ?? 0) { id, buffer in
                appendBytes(of: id, to: &buffer)
            }
        let matcher = GrammarMatcher(grammar, tree)
        state.withLock { state in
            state.tree = tree
            if state.matchers.count >= Self.limit { state.matchers.removeAll() }
            state.matchers[source] = matcher
        }
        return matcher
    }

    private func appendBytes(of id: Int, to buffer: inout [UInt8]) {
        guard let tokenizer else { return }
        switch id {
        case tokenizer.specialTokens["<|\"|>"]: buffer.append(ControlByte.quote)
        case tokenizer.specialTokens["<tool_call|>"]: buffer.append(ControlByte.callEnd)
        default:
            let start = buffer.count
            tokenizer.appendBytes(of: id, to: &buffer)
            // Byte tokens with these values, which never occur in text, must not be mistaken for control tokens.
            if buffer.count == start + 1, buffer[start] >= ControlByte.callEnd { buffer.removeLast() }
        }
    }

    /// A tool whose schema cannot be enforced accepts any arguments.
    private func grammar(calling tools: [JSONValue]) throws(GrammarError) -> Grammar {
        var functions: [(name: String, parameters: JSONValue)] = []
        for tool in tools {
            guard let name = tool["function"]?["name"]?.string else { continue }
            let function = (name: name, parameters: tool["function"]?["parameters"] ?? ["type": "object"])
            do throws(GrammarError) {
                _ = try Grammar(calling: [function])
                functions.append(function)
            } catch {
                notice("\(error) Its arguments are not held to its schema.")
                functions.append((name, ["type": "object"]))
            }
        }
        return try Grammar(calling: functions)
    }
}
