import ArgumentParser
import Foundation
import Gemma4Kit
import Generation

struct Chat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talk with the model, a line at a time.",
        usage: "gemma4 chat [<options>]",
        discussion: """
            A line is what you say; the model remembers the conversation. A line "/image FILE" or "/audio FILE" adds a \
            picture or recording to what you say next. Ctrl-D ends.

            Example: gemma4 chat --model gemma-4-E2B-it --system "Be brief."
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: ArgumentHelp("Instruction that the whole conversation obeys.", valueName: "text"))
    var system: String?

    @OptionGroup var thinking: ThinkingArguments

    @OptionGroup var imageTokens: ImageTokensOption

    @OptionGroup var sampling: SamplingArguments

    func run() async throws {
        let answerFormat = try sampling.answerFormat.read()
        let pipeline = try model.open()
        let conversation = pipeline.conversation(
            system: system, prompt: PromptOptions(thinking: thinking.thinking == .on, imageTokens: imageTokens.count))
        let printer = AnswerPrinter(
            format: .text, showsThoughts: thinking.thinking == .on, warnsOfLength: sampling.maxTokens == nil,
            hasFormat: answerFormat != nil)
        var images: [ImageInput] = []
        var recordings: [AudioInput] = []
        while let line = Self.ask() {
            do {
                switch Line(line) {
                case .nothing: continue
                case .image(let file): images.append(.file(URL(filePath: file)))
                case .audio(let file): recordings.append(.file(URL(filePath: file)))
                case .text(let text):
                    let progress = ProgressLine("prompt")
                    var options = sampling.options(
                        over: SamplingOptions(pipeline.generationConfiguration), format: answerFormat,
                        progress: progress)
                    options.thinkingBudget = thinking.thinkingBudget
                    let answer = conversation.streamResponse(
                        to: text, images: images, audio: recordings, options: options)
                    (images, recordings) = ([], [])
                    try await printer.print(answer, of: pipeline, progress: progress)
                }
            } catch let error as CommandError where error.isAboutOutput {
                throw error
            } catch {
                // A turn that failed has left the conversation as it was.
                guard ExitStatus(error) != nil else { throw error }
                ByteSink.standardError.report("\(error)")
            }
        }
    }

    /// The next line; a person is prompted for it. Nil at the end.
    private static func ask() -> String? {
        if isatty(STDIN_FILENO) == 1 { try? ByteSink.standardError.write("> ") }
        return readLine()
    }

    /// What a line asks for.
    private enum Line {
        case nothing
        case text(String)
        case image(String)
        case audio(String)

        init(_ line: String) {
            let line = line.trimmingCharacters(in: .whitespaces)
            if line.isEmpty {
                self = .nothing
            } else if let file = Self.argument(of: "/image", line) {
                self = .image(file)
            } else if let file = Self.argument(of: "/audio", line) {
                self = .audio(file)
            } else {
                self = .text(line)
            }
        }

        private static func argument(of command: String, _ line: String) -> String? {
            guard line.hasPrefix(command + " ") else { return nil }
            return line.dropFirst(command.count).trimmingCharacters(in: .whitespaces)
        }
    }
}
