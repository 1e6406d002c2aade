import Foundation

/// The prompt for a piece of speech, in the words of Google's model card.
struct SpeechInstruction: Sendable {
    let text: String
    /// The text before the translation in an answer; nil for a transcript.
    private let marker: String?

    init(_ options: TranscriptionOptions) {
        let language = options.language?.name
        let target = options.translation?.name
        marker = target.map { "\($0): " }
        if let instruction = options.instruction {
            text = instruction
        } else if let target {
            text = Self.translation(from: language ?? "its original language", into: target) + Self.hint(options.hint)
        } else {
            let begin =
                language.map { "Transcribe the following speech segment in \($0) into \($0) text.\n\n" }
                ?? "Transcribe the following speech segment in its original language. "
            text = begin + Self.format + Self.hint(options.hint)
        }
    }

    private static let format = """
        Follow these specific instructions for formatting the answer:
        * Only output the transcription, with no newlines.
        * When transcribing numbers, write the digits, i.e. write 1.7 and not one point seven, and write 3 instead of three.
        """

    private static func translation(from source: String, into target: String) -> String {
        """
        Transcribe the following speech segment in \(source), then translate it into \(target).
        When formatting the answer, first output the transcription in \(source), then one newline, then output the \
        string '\(target): ', then the translation in \(target).
        """
    }

    private static func hint(_ hint: String?) -> String {
        hint.map { "\n* These names and words may occur, spelt like this: \($0)" } ?? ""
    }

    /// Splits an answer.
    ///
    /// - Returns: the transcript and its translation; both are the whole answer if the model omitted the marker.
    func parse(_ answer: String) -> (heard: String, translated: String?) {
        guard let marker else { return (Self.oneLine(answer), nil) }
        let answer = answer.trimmingCharacters(in: .whitespacesAndNewlines)
        guard let found = answer.range(of: marker.trimmingCharacters(in: .whitespaces), options: [.caseInsensitive])
        else {
            return (Self.oneLine(answer), Self.oneLine(answer))
        }
        return (Self.oneLine(answer[..<found.lowerBound]), Self.oneLine(answer[found.upperBound...]))
    }

    private static func oneLine(_ text: some StringProtocol) -> String {
        text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
            .joined(separator: " ")
    }
}
