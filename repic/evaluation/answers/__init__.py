"""Questions with short answers: recognition and multiple-choice VQA."""
