import ArgumentParser
import Foundation
import Gemma4Kit
import Generation

struct Chat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talk with the model, a line at a time.",
        usage: "gemma4 chat [<options>]",
        discussion: """
            A line is what you say; the model remembers the conversation. /help lists the commands, /image FILE for \
            example adds a picture. Ctrl-C stops an answer, Ctrl-D ends.

            Example: gemma4 chat --model gemma-4-E2B-it --system "Be brief."
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: ArgumentHelp("Instruction that the whole conversation obeys.", valueName: "text"))
    var system: String?

    @OptionGroup var thinking: ThinkingArguments

    @OptionGroup var imageTokens: ImageTokensOption

    @Option(help: ArgumentHelp("Programs that the model may call: see the README.", valueName: "file"))
    var tools: String?

    @Flag(help: "Run them without asking.")
    var yes = false

    @Option(help: ArgumentHelp("Most tokens kept; default: the model's.", valueName: "n", visibility: .hidden))
    var context: Int?

    @Option(help: ArgumentHelp("When the context is full; default: stop.", valueName: "stop|drop-oldest"))
    var contextOverflow = ContextOverflow.stop

    @OptionGroup var promptCache: PromptCacheOption

    @Option(help: ArgumentHelp("Go on with a conversation of /save.", valueName: "file"))
    var load: String?

    @OptionGroup var sampling: SamplingArguments

    func validate() throws {
        if let context, context < 64 { throw ValidationError("--context: expected 64 or more, found \(context)") }
        guard load == nil || system == nil else {
            throw ValidationError("--load brings its own instruction: leave out --system, or say /system")
        }
        guard !yes || tools != nil else { throw ValidationError("--yes needs --tools, whose programs it allows") }
    }

    func run() async throws {
        let answerFormat = try sampling.answerFormat.read()
        let tools = try tools.map { try CommandTool.read($0) } ?? []
        let pipeline = try model.open()
        let editor = LineEditor(historyFile: Self.historyFile, completing: ChatLine.completion)
        let defaults = SamplingOptions(pipeline.generationConfiguration)
        let longest = pipeline.model.configuration.textConfig.maxPositionEmbeddings
        var session = ChatSession(
            pipeline, system.map { [ChatMessage(.system, $0)] } ?? [],
            prompt: PromptOptions(thinking: thinking.thinking == .on, imageTokens: imageTokens.count),
            thinkingBudget: thinking.thinkingBudget,
            .init(
                tools: tools, overflow: contextOverflow, contextLimit: min(context ?? longest, longest),
                promptCache: try await promptCache.open(pipeline),
                generation: { [sampling] in sampling.options(over: defaults, format: answerFormat, progress: $0) },
                printer: AnswerPrinter(
                    format: .text, showsToolCalls: tools.isEmpty, warnsOfLength: sampling.maxTokens == nil,
                    hasFormat: answerFormat != nil),
                allows: yes ? { true } : editor.map(Self.permission),
                stop: editor == nil ? nil : AnswerStop()))
        if let load {
            try await session.load(load)
            ByteSink.standardError.report("\(load): \(session.messages.count) messages")
        }
        if editor != nil { ByteSink.standardError.report("/help lists the commands") }
        var draft: String?
        while let line = Self.next(editor, beginningWith: draft) {
            draft = nil
            do {
                guard try await obey(line, &session, draft: &draft, isEdited: editor != nil) else { return }
            } catch let error as CommandError where error.isAboutOutput {
                throw error
            } catch {
                // A failed turn leaves the conversation unchanged.
                guard ExitStatus(error) != nil else { throw error }
                ByteSink.standardError.report("\(error)")
            }
        }
    }

    /// Reads the next line, with a prompt on a terminal. Nil at the end of the input.
    ///
    /// - Parameter draft: the initial text of the line.
    private static func next(_ editor: LineEditor?, beginningWith draft: String?) -> String? {
        guard let editor else {
            if isatty(STDIN_FILENO) == 1 { try? ByteSink.standardError.write("> ") }
            return readLine()
        }
        var input = editor.read(beginningWith: draft)
        while input == .interrupted { input = editor.read() }
        guard case .line(let line) = input else {
            try? ByteSink.standardError.write("\n")
            return nil
        }
        if !line.allSatisfy(\.isWhitespace) { editor.remember(line) }
        return line
    }

    /// Asks whether a program may be run, until the user answers "always".
    private static func permission(_ editor: LineEditor) -> () -> Bool {
        var isAlways = false
        return {
            if isAlways { return true }
            guard case .line(let answer) = editor.read(prompt: "run it? y(es), n(o), a(lways): ") else { return false }
            isAlways = ["a", "always"].contains(answer.lowercased())
            return isAlways || ["y", "yes"].contains(answer.lowercased())
        }
    }

    private static var historyFile: String? {
        let environment = ProcessInfo.processInfo.environment
        let state =
            environment["XDG_STATE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? NSHomeDirectory() + "/.local/state"
        return "\(state)/gemma4/history"
    }

    /// - Parameters:
    ///   - draft: set to the initial text of the next line.
    ///   - isEdited: whether a line editor is in use, which can show a draft.
    /// - Returns: whether the conversation continues.
    private func obey(
        _ line: String, _ session: inout ChatSession, draft: inout String?, isEdited: Bool
    ) async throws -> Bool {
        func tell(_ text: String) { ByteSink.standardError.report(text) }
        switch ChatLine(line) {
        case .nothing: break
        case .text(let text): try await session.say(text)
        case .unknown(let name): tell("/\(name): no such command; /help lists them, //\(name) says it")
        case .command(let command, let argument):
            if command.takesFile, argument.isEmpty {
                tell("/\(command.rawValue): expected a file, found none")
                return true
            }
            let file = URL(filePath: argument.asFile).standardizedFileURL.path
            switch command {
            case .image: session.add(.image(file))
            case .audio: session.add(.audio(file))
            case .video: session.add(.video(file))
            case .system:
                if argument.isEmpty {
                    tell(session.instruction ?? "no instruction")
                } else {
                    session.instruction = argument
                }
            case .thinking:
                if !session.setThinking(argument) {
                    tell(
                        "/thinking: expected on, off or a number of tokens, found \(argument.isEmpty ? "nothing" : argument)"
                    )
                }
            case .tools: tell(session.tools)
            case .save:
                // A failed save does not end the conversation.
                do {
                    try await session.save(to: file)
                    tell("\(argument): \(session.messages.count) messages")
                } catch let error as CommandError { tell("\(error)") }
            case .load:
                try await session.load(file)
                tell("\(argument): \(session.messages.count) messages")
            case .undo: if session.undo() == nil { tell("nothing to undo") }
            case .retry: if try await !session.retry() { tell("nothing to retry") }
            case .edit:
                guard let last = session.lastText else {
                    tell("nothing to edit")
                    break
                }
                if !argument.isEmpty {
                    _ = try await session.retry(saying: argument)
                } else if isEdited {
                    draft = "/edit " + last
                } else {
                    tell("/edit: expected the new text, found none")
                }
            case .stats: tell(try await session.report())
            case .clear: session.clear()
            case .help: tell(ChatLine.help)
            case .exit: return false
            }
        }
        return true
    }
}
