/// Levenshtein distance: the number of insertions, deletions and replacements.
package func editDistance<Element: Equatable>(_ a: some Sequence<Element>, _ b: [Element]) -> Int {
    var row = Array(0...b.count)
    for (i, element) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let replaced = diagonal + (element == b[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
        }
    }
    return row[b.count]
}
