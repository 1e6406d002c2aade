import ArgumentParser
import Gemma4Kit

struct Transcribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write down what is said in recordings of any length.",
        usage: "gemma4 transcribe [<options>] <file> ...",
        discussion: """
            Reads WAV, FLAC, OGG, MP3 and AIFF, with ffmpeg M4A, WMA, films and more, and all of them in folders. \
            Silence is skipped. Where a file is damaged or cut, the rest is heard, and the code is 65. Ctrl-C ends with \
            what there is and code 75; --offset goes on from there.

            Example: gemma4 transcribe speech.wav --format srt -o speech.srt
            """)

    @Argument(help: ArgumentHelp("Recordings or folders; - is standard input.", valueName: "file"))
    var files: [String] = []

    @OptionGroup var corpus: CorpusArguments
    @OptionGroup var model: ModelOptions
    @OptionGroup var results: TranscriptArguments
    @OptionGroup var speech: SpeechArguments
    @OptionGroup var parallel: ParallelOption

    @Option(help: ArgumentHelp("Tell the model this instead of Google's words.", valueName: "text"))
    var instruction: String?

    func validate() throws { try FileAnswers.validate(files) }

    func run() async throws {
        try await Transcription.run(files, corpus, model, speech, results, parallel: parallel.count) {
            $0.instruction = instruction
        }
    }
}
