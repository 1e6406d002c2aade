import Conversion
import Foundation
import Gemma4Kit

/// The report of `bench` for an embedding model.
struct EmbeddingReport {
    let result: Benchmark.EmbeddingResult
    let title: String

    func text(_ format: Bench.Format) throws -> String {
        switch format {
        case .json: try Bench.json(result)
        case .csv: csv
        case .md: table
        }
    }

    private var csv: String {
        var rows: [(String, Double)] = [
            ("load_seconds", result.loadSeconds), ("texts", Double(result.texts)),
            ("tokens_per_text", Double(result.tokensPerText)), ("batch_seconds", result.batchSeconds),
            ("single_seconds", result.singleSeconds), ("speedup", result.speedup),
            ("batch_spread", result.batchSpread), ("single_spread", result.singleSpread),
            ("batch_gigaflops", result.batchGigaflops), ("sgemm_gigaflops_per_second", result.sgemmGigaflopsPerSecond),
            ("peak_resident_bytes", Double(result.peakResidentBytes)),
        ]
        if let image = result.image { rows.append(("image_seconds_\(image.softTokens)", image.tower.seconds)) }
        if let audio = result.audio { rows.append(("audio_seconds", audio.tower.seconds)) }
        return (["measure,value"] + rows.map { "\($0.0),\(String(format: "%.6g", $0.1))" }).joined(separator: "\n")
    }

    private var table: String {
        func number(_ value: Double, _ digits: Int = 1) -> String { String(format: "%.\(digits)f", value) }
        func share(_ value: Double, of limit: Double) -> String { String(format: "%.0f %%", 100 * value / limit) }
        func rate(_ seconds: Double, _ spread: Double) -> String {
            "\(number(seconds, 3)) s, \(number(Double(result.texts) / seconds)) texts/s (spread \(share(spread, of: 1)))"
        }
        let texts = "\(result.texts) texts of \(result.tokensPerText) tokens"
        let sgemm = result.sgemmGigaflopsPerSecond
        var lines = [
            "| \(title) | | |", "|---|---|---|", "| load | \(number(result.loadSeconds, 2)) s | |",
            "| \(texts), one batch | \(rate(result.batchSeconds, result.batchSpread)) | "
                + "\(share(result.batchGigaflopsPerSecond, of: sgemm)) of \(number(sgemm, 0)) GFLOP/s (sgemm) |",
            "| \(texts), one at a time | \(rate(result.singleSeconds, result.singleSpread)) | "
                + "the batch is \(number(result.speedup)) × as fast |",
        ]
        if let image = result.image {
            lines.append(
                "| picture, \(image.softTokens) soft tokens | \(number(image.tower.seconds, 2)) s | "
                    + "\(share(image.tower.gigaflopsPerSecond, of: image.tower.sgemmGigaflopsPerSecond)) of sgemm |")
        }
        if let audio = result.audio {
            lines.append(
                "| \(number(audio.recordingSeconds)) s of sound | \(number(audio.tower.seconds, 2)) s | "
                    + "\(share(audio.tower.gigaflopsPerSecond, of: audio.tower.sgemmGigaflopsPerSecond)) of sgemm |")
        }
        lines.append("| most memory resident | \(Bench.gigabytes(result.peakResidentBytes)) GB | |")
        return lines.joined(separator: "\n")
    }
}
