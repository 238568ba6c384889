// Early return for Result, the only macros of the project.
#pragma once

#include <utility>

#include <bitsnap/result.h>

#define BITSNAP_CONCAT_INNER(a, b) a##b
#define BITSNAP_CONCAT(a, b) BITSNAP_CONCAT_INNER(a, b)

// BITSNAP_TRY(expression of type Result<void>);
#define BITSNAP_TRY(expression)                                                         \
  do {                                                                                  \
    auto bitsnap_result = (expression);                                                 \
    if (!bitsnap_result) return tl::make_unexpected(std::move(bitsnap_result).error()); \
  } while (false)

// BITSNAP_ASSIGN(auto value, expression of type Result<T>);
#define BITSNAP_ASSIGN(lhs, expression) \
  BITSNAP_ASSIGN_INNER(BITSNAP_CONCAT(bitsnap_result_, __LINE__), lhs, expression)
#define BITSNAP_ASSIGN_INNER(tmp, lhs, expression)              \
  auto tmp = (expression);                                      \
  if (!tmp) return tl::make_unexpected(std::move(tmp).error()); \
  lhs = *std::move(tmp)
