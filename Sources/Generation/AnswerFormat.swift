import Dispatch
import Grammar
import JSONText
import Synchronization
import Tokenization

/// What an answer must look like. It ends where it may, and is valid unless it is cut: then its finish reason is `length` or
/// `repetition`. Thoughts come before it and are free.
public enum AnswerFormat: Sendable, Hashable {
    /// JSON that is valid by a schema of JSON Schema 2020-12: one line, members in the order of the schema, `format` asserted.
    case schema(JSONValue)
    /// A text that the rule `root` of a grammar derives, in llama.cpp's notation GBNF.
    case grammar(String)
    /// A text that a regular expression, in the syntax of ECMA-262, matches as a whole.
    case regularExpression(String)
    /// One of these texts.
    case choices([String])

    /// Checks that it can be enforced.
    ///
    /// - Parameter name: what the error calls it, for example a file.
    /// - Throws: an error with a diagnosis: what cannot be enforced is named with its place.
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

/// What one answer must obey.
struct AnswerGrammars: Sendable {
    /// The format of its text.
    var format: GrammarMatcher?
    /// One call of a tool.
    var call: GrammarMatcher?
}

/// The grammars of an engine's answers, compiled once each, and the vocabulary as a tree, made when it is first needed.
final class GrammarCache: Sendable {
    /// What a grammar is made of.
    enum Source: Hashable {
        case format(AnswerFormat)
        /// Declarations of tools: the grammar of one call.
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

    /// Formats that are kept; beyond them all are forgotten.
    private static let limit = 16

    /// - Parameter notice: told of tools whose arguments cannot be held to their schema.
    init(_ tokenizer: Tokenizer?, notice: @escaping @Sendable (String) -> Void) {
        (self.tokenizer, self.notice) = (tokenizer, notice)
    }

    /// What the answer to a prompt must obey.
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

    /// Compiles a grammar on a thread where that may take its time.
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
            // The pieces of these bytes, which no text has, must not pass for the control tokens.
            if buffer.count == start + 1, buffer[start] >= ControlByte.callEnd { buffer.removeLast() }
        }
    }

    /// A tool whose schema cannot be enforced may be called with any arguments.
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
