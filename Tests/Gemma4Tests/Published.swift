import Foundation

@testable import Gemma4

/// The configurations of the five published variants, in both spellings.
enum Published: String, CaseIterable, Sendable {
    case e2b = "E2B"
    case e4b = "E4B"
    case unified12b = "12B"
    case dense31b = "31B"
    case sparse26b = "26B-A4B"

    private static let repository = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// The file in Google's spelling.
    var path: String { Self.repository.appending(path: "Models/\(rawValue)/config.json").path() }

    /// The same, saved by transformers.
    var resavedPath: String { Self.repository.appending(path: "Tests/Goldens/configs/\(rawValue).json").path() }

    var configuration: ModelConfiguration {
        get throws { try ModelConfiguration(contentsOf: path) }
    }
}
