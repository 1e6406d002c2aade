import ArgumentParser
import Gemma4Kit
import Tensors

struct Embed: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Save the soft tokens of a picture or a recording: what the text model sees of it.",
        usage: "gemma4 embed [<options>] (--image <file> | --audio <file>) -o <file>",
        discussion: """
            Writes float32 [tokens, hiddenSize] in NumPy's format.

            Example: gemma4 embed --model gemma-4-E2B-it --image photo.jpg -o photo.npy
            """)

    @Option(help: ArgumentHelp("A picture; - is standard input.", valueName: "file"))
    var image: String?

    @Option(help: ArgumentHelp("A recording; - is standard input.", valueName: "file"))
    var audio: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Where to write; - is standard output.", valueName: "file"))
    var output: String

    @OptionGroup var model: ModelOptions

    @OptionGroup var imageTokens: ImageTokensOption

    func run() async throws {
        guard (image == nil) != (audio == nil) else { throw ValidationError("expected one of --image and --audio") }
        if output != "-" { try OutputFile.check([output], inputs: [image ?? audio ?? ""]) }
        let pipeline = try model.open()
        let progress = ProgressLine(image ?? audio ?? "")
        progress.begin()
        defer { progress.end() }
        let pieces = try await softTokens(pipeline)
        let width = pipeline.model.configuration.textConfig.hiddenSize
        let file = NumpyFile(pieces.flatMap { $0.toArray() }, shape: [pieces.reduce(0) { $0 + $1.shape[0] }, width])
        progress.end()
        if output == "-" {
            try ByteSink.standardOutput.write(file.bytes)
        } else {
            try OutputFile(output).replace(with: file.bytes)
        }
    }

    private func softTokens(_ pipeline: Gemma4Pipeline) async throws -> [Tensor] {
        if let image {
            return [try await pipeline.softTokens(try ImageInput(argument: image), maxTokens: imageTokens.count)]
        }
        return try await pipeline.softTokens(try AudioInput(argument: audio ?? StandardInput.argument))
    }
}
